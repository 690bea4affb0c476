import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createUser } from "@nats-io/nkeys";
import { connectBus } from "../../src/nats/connection.ts";
import {
  type Credentials,
  formatCredentials,
  mintServiceUser,
  parseCredentials,
  readCredentials,
  writeCredentials,
} from "../../src/nats/credentials.ts";
import { createDirectory, openDirectory } from "../../src/nats/directory.ts";
import { createUserKey, isUserPublicKey, publicKeyOf, sign, verify } from "../../src/nats/keys.ts";
import { createTrust, type NatsTrust } from "../../src/nats/trust.ts";
import { startTestNats } from "../support/nats.ts";

let path: string;
let trust: NatsTrust;
let credentials: Credentials;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "heddle-creds-"));
  trust = await createTrust();
  credentials = await mintServiceUser(trust, "shop", "web");
});
afterAll(() => rm(path, { recursive: true, force: true }));

describe("nkeys", () => {
  const message = new TextEncoder().encode("move 10% to v2");

  test("sign and verify", () => {
    const { publicKey, seed } = createUserKey();
    expect(isUserPublicKey(publicKey)).toBe(true);
    expect(publicKeyOf(seed)).toBe(publicKey);
    const signature = sign(seed, message);
    expect(signature).toHaveLength(64);
    expect(verify(publicKey, message, signature)).toBe(true);
  });

  test("agrees with the nkeys library on many keys", () => {
    for (let round = 0; round < 20; round++) {
      const pair = createUser();
      const signature = pair.sign(message);
      expect(verify(pair.getPublicKey(), message, signature)).toBe(true);
      expect(verify(pair.getPublicKey(), message, signature.with(round, (signature[round] ?? 0) ^ 1))).toBe(false);
    }
  });

  test("another message, another key, a damaged signature and garbage do not verify", () => {
    const { publicKey, seed } = createUserKey();
    const signature = sign(seed, message);
    const damaged = signature.with(10, (signature[10] ?? 0) ^ 1);
    expect(verify(publicKey, new TextEncoder().encode("move 100% to v2"), signature)).toBe(false);
    expect(verify(createUserKey().publicKey, message, signature)).toBe(false);
    expect(verify(publicKey, message, damaged)).toBe(false);
    expect(verify(publicKey, message, signature.slice(1))).toBe(false);
    expect(verify("UNKNOWN", message, signature)).toBe(false);
    // A letter changed: the checksum no longer holds, whatever key that would be.
    const mistyped = publicKey.slice(0, 20) + (publicKey[20] === "A" ? "B" : "A") + publicKey.slice(21);
    expect(verify(mistyped, message, signature)).toBe(false);
    expect(isUserPublicKey(seed)).toBe(false);
  });
});

describe("a credentials file", () => {
  test("holds what was written, for its owner only, and leaves no other file", async () => {
    const file = join(path, "web.creds");
    await writeCredentials(file, credentials);
    expect(await readCredentials(file)).toEqual(credentials);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(path)).toEqual(["web.creds"]);
  });

  test("that is damaged is refused with its name and what is wrong", async () => {
    const other = await mintServiceUser(trust, "shop", "payment");
    const good = formatCredentials(credentials);
    // Its first character becomes another one for certain; a fixed text may be what stood there already.
    const [head, claims, signature = ""] = credentials.jwt.split(".");
    const missigned = `${head}.${claims}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    for (const [text, complaint] of [
      ["", "bad credentials"],
      ["hello\n", "bad credentials"],
      [good.replace(credentials.seed, "SUNOT"), ""],
      [good.replace(credentials.seed, other.seed), "but the seed is of"],
      [good.replace(credentials.jwt, missigned), ""],
      [good.replace(credentials.jwt, trust.control.jwt), ""],
    ] as const) {
      await expect(parseCredentials(text, "/etc/web.creds")).rejects.toThrow(
        new RegExp(`^/etc/web.creds: not a NATS credentials file: .*${complaint}`),
      );
    }
  });
});

test("a service's credentials end when their time is over", async () => {
  const nats = await startTestNats();
  try {
    const lifetime = (now: number) => ({ ttlMs: 60_000, now });
    const meshTrust = await nats.directory.trust();
    const options = { url: nats.url, name: "web", onError: () => {} };
    const fresh = await mintServiceUser(meshTrust, "shop", "web", lifetime(Date.now()));
    await (await connectBus({ ...options, credentials: fresh })).close();
    const expired = await mintServiceUser(meshTrust, "shop", "web", lifetime(Date.now() - 120_000));
    await expect(connectBus({ ...options, credentials: expired })).rejects.toThrow(
      "refuses the credentials of shop/web",
    );
  } finally {
    await nats.stop();
  }
});

describe("a state directory", () => {
  test("is absent until made, is made once, and opens as it was made", async () => {
    const root = join(path, "mesh");
    expect(await openDirectory(root)).toBeUndefined();
    const made = await createDirectory(root, { trustDomain: "mesh.local", operator: "ada" });
    await made.remember({ url: "nats://127.0.0.1:4333" });
    await made.saveCredentials("shop.web", credentials);
    const opened = await openDirectory(root);
    expect(opened?.context).toEqual(made.context);
    expect(opened?.context).toMatchObject({ trustDomain: "mesh.local", url: "nats://127.0.0.1:4333" });
    expect(await opened?.trust()).toEqual(await made.trust());
    expect((await opened?.operatorCredentials())?.name).toBe("ada");
    expect((await opened?.controlCredentials())?.name).toBe("control");
    expect(await readCredentials(join(root, "creds", "shop.web.creds"))).toEqual(credentials);
    await expect(createDirectory(root, { trustDomain: "mesh.local", operator: "eve" })).rejects.toThrow(
      "already holds",
    );
  });

  test("that is damaged says which file and what", async () => {
    const root = join(path, "damaged");
    const directory = await createDirectory(root, { trustDomain: "mesh.local", operator: "ada" });
    await writeFile(join(root, "trust", "nats.json"), "{}");
    await expect(directory.trust()).rejects.toThrow(/trust\/nats\.json: .*operator/s);
    const context = await readFile(join(root, "context.json"), "utf8");
    await writeFile(join(root, "context.json"), context.replace("mesh.local", "Mesh Local"));
    await expect(openDirectory(root)).rejects.toThrow(/context\.json: .*trustDomain/s);
    await writeFile(join(root, "context.json"), "{");
    await expect(openDirectory(root)).rejects.toThrow("context.json: not JSON");
  });
});
