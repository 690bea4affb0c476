/** Tokens of end users, through real sidecars: what is refused and how, and what the application gets to see. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const REFETCH_MS = 500;
const ISSUER = "https://id.example";

interface Signer {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

async function signer(kid: string, alg = "ES256"): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

/** The issuer's key endpoint, whose keys change and which can be away. */
class Issuer {
  keys: JWK[] = [];
  away = false;
  fetches = 0;
  readonly server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      this.fetches++;
      return this.away ? new Response("away", { status: 503 }) : Response.json({ keys: this.keys });
    },
  });

  get uri(): string {
    return `http://127.0.0.1:${this.server.port}/keys`;
  }
}

function sign(
  { privateKey, jwk }: Signer,
  claims: JWTPayload = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT({ iss: ISSUER, aud: "shop", sub: "ann", exp: Math.floor(Date.now() / 1000) + 600, ...claims })
    .setProtectedHeader({ alg: "ES256", ...(jwk.kid === undefined ? {} : { kid: jwk.kid }), ...header })
    .sign(privateKey, { crit: { "x-own": true } });
}

function policy(uri: string, required: boolean): string {
  return `
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec:
  ports: [{ port: 8080, protocol: http }]
  jwt:
    required: ${required}
    providers:
      - issuer: ${ISSUER}
        audiences: [shop]
        jwksUri: ${uri}
        clockSkew: 1s
        claimHeaders: { x-user: sub, x-admin: admin, x-groups: groups }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules:
    - allow: { from: [shop/web], paths: ["/*"] }
    - deny: { paths: [/admin*], when: [{ claim: groups, notValues: [admins] }] }
`;
}

let hops: TwoHops;
let issuer: Issuer;
let good: Signer;
let other: Signer;
beforeAll(async () => {
  issuer = new Issuer();
  [good, other] = await Promise.all([signer("k1"), signer("k1")]);
  issuer.keys = [good.jwk];
  hops = await TwoHops.start({ limits: { jwksRefetchMs: REFETCH_MS } });
  await hops.mesh.apply(policy(issuer.uri, true));
  await eventually(async () => expect((await hops.call("/")).status).toBe(401));
});
afterAll(async () => {
  await hops.stop();
  await issuer.server.stop(true);
});

function call(path: string, token?: string, headers: Record<string, string> = {}, body?: string): Promise<Response> {
  return hops.call(path, {
    ...(body === undefined ? {} : { method: "POST", body }),
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
}

/** The fields that the application was sent, as `name: value`. */
async function received(response: Response): Promise<string[]> {
  expect(response.status).toBe(200);
  const { headers } = (await response.json()) as { readonly headers: readonly string[] };
  return Array.from(
    { length: headers.length / 2 },
    (_, at) => `${headers[2 * at]?.toLowerCase()}: ${headers[2 * at + 1]}`,
  );
}

describe("a token that is required", () => {
  const nowS = Math.floor(Date.now() / 1000);
  test.each<[string, () => Promise<string | undefined> | string | undefined, string]>([
    ["none", () => undefined, "missing"],
    ["no token at all", () => "hello", "malformed"],
    ["expired", () => sign(good, { exp: nowS - 60 }), "expired"],
    ["without an end", () => sign(good, { exp: undefined } as unknown as JWTPayload), "invalid"],
    ["not valid yet", () => sign(good, { nbf: nowS + 600 }), "not_yet_valid"],
    ["for others", () => sign(good, { aud: "bank" }), "wrong_audience"],
    ["for nobody", () => sign(good, { aud: undefined } as unknown as JWTPayload), "wrong_audience"],
    ["of another issuer", () => sign(good, { iss: "https://evil.example" }), "unknown_issuer"],
    ["signed by somebody else under the same name", () => sign(other), "bad_signature"],
    ["signed with a key that nobody knows", () => sign(good, {}, { kid: "k9" }), "unknown_key"],
    ["signed with nothing", () => unsigned({ alg: "none" }), "malformed"],
    [
      "signed with nothing, and something behind",
      async () => `${await unsigned({ alg: "none" })}AA`,
      "algorithm_refused",
    ],
    ["signed with the public key as a secret", () => signedWithSecret(JSON.stringify(good.jwk)), "algorithm_refused"],
    ["signed with a key that it brings along", async () => sign(other, {}, { jwk: other.jwk }), "bad_signature"],
    [
      "that says where its key is to be found",
      async () => sign(other, {}, { kid: "k9", jku: issuer.uri }),
      "unknown_key",
    ],
    ["that wants something nobody here understands", () => sign(good, {}, { crit: ["x-own"], "x-own": 1 }), "invalid"],
    ["encrypted", async () => `${await sign(good)}.x.y`, "malformed"],
    ["whose issuer is a list", () => sign(good, { iss: [ISSUER] } as unknown as JWTPayload), "unknown_issuer"],
    ["whose end is a text", () => sign(good, { exp: "never" } as unknown as JWTPayload), "invalid"],
    ["with a payload changed", async () => tampered(await sign(good)), "bad_signature"],
    ["longer than any", async () => sign(good, { pad: "x".repeat(9_000) }), "malformed"],
  ])("%s: refused with 401", async (_, make, fault) => {
    const token = await make();
    const response = await call("/", token);
    expect(response.status).toBe(401);
    const challenge = response.headers.get("www-authenticate");
    expect(challenge).toStartWith('Bearer realm="shop/catalog"');
    expect(challenge?.includes("invalid_token")).toBe(fault !== "missing");
    const body = await response.text();
    expect(body).toContain("shop/catalog wants a valid end-user token");
    if (token !== undefined) expect(body + challenge).not.toContain(token.slice(0, 40));
    const metrics = await hops.metrics(hops.catalog);
    expect(metrics).toMatch(new RegExp(`heddle_denied_total\\{reason="token_${fault}"\\} [1-9]`));
  });

  test("two tokens are none", async () => {
    const token = await sign(good);
    const client = await hops.connect();
    client.send(`GET / HTTP/1.1\r\nhost: catalog\r\nauthorization: Bearer ${token}\r\nauthorization: Bearer x\r\n\r\n`);
    await eventually(() => expect(client.text).toStartWith("HTTP/1.1 401"));
    client.close();
  });

  test("a gRPC caller is told UNAUTHENTICATED", async () => {
    const response = await call("/shop.Pay/Charge", undefined, { "content-type": "application/grpc" }, "");
    expect([response.status, response.headers.get("grpc-status")]).toEqual([200, "16"]);
  });

  test("a good one lets the request through, its body whole, however often", async () => {
    const body = "x".repeat(300_000);
    const token = await sign(good, { jti: "body" });
    for (let round = 0; round < 3; round++) {
      const response = await call("/echo", token, {}, body);
      expect(response.status).toBe(200);
      expect((await response.text()).length).toBe(body.length);
    }
  });

  test("rules ask for its claims", async () => {
    expect((await call("/admin", await sign(good, { groups: ["users"] }))).status).toBe(403);
    expect((await call("/admin", await sign(good, { groups: ["users", "admins"] }))).status).toBe(200);
  });
});

describe("what the application gets", () => {
  test("claims as headers, nothing that a caller says in them, and no token", async () => {
    const claimed = { "x-user": "root", x_user: "root", "X-Admin": "yes", "x-groups": "admins", "x-other": "kept" };
    const fields = await received(await call("/x", await sign(good, { groups: ["a"], admin: true }), claimed));
    const about = fields.filter((field) => /^(?:x[-_](?:user|admin|groups|other)|authorization):/.test(field)).sort();
    expect(about).toEqual(["x-admin: true", "x-other: kept", "x-user: ann"]);
  });

  test("no claim that would not be one line of plain text", async () => {
    const fields = await received(await call("/x", await sign(good, { sub: "ann\r\nx-admin: true" })));
    expect(fields.filter((field) => /^x-(?:user|admin):/.test(field))).toEqual([]);
  });

  test("the token as well, where policy says so", async () => {
    await hops.mesh.apply(policy(issuer.uri, true).replace("clockSkew: 1s", "clockSkew: 1s\n        forward: true"));
    const token = await sign(good);
    await eventually(async () =>
      expect(await received(await call("/x", token))).toContain(`authorization: Bearer ${token}`),
    );
    await hops.mesh.apply(policy(issuer.uri, true));
  });
});

test("a new key of the issuer is found when a token needs it, and an old one serves on while the issuer is away", async () => {
  const next = await signer("k2");
  issuer.keys = [good.jwk, next.jwk];
  await eventually(async () => expect((await call("/", await sign(next))).status).toBe(200), 30_000);
  issuer.away = true;
  expect((await call("/", await sign(good, { jti: "away" }))).status).toBe(200);
  const [before, sinceMs] = [issuer.fetches, performance.now()];
  for (let round = 0; round < 20; round++) {
    expect((await call("/", await sign(good, {}, { kid: `unknown-${round}` }))).status).toBe(401);
  }
  // Beside those for unknown keys, the cache repeats failed ones of its own accord, less often.
  expect(issuer.fetches - before).toBeLessThanOrEqual(2 + (2 * (performance.now() - sinceMs)) / REFETCH_MS);
  issuer.away = false;
}, 60_000);

test("a token that names no key is tried with each that fits", async () => {
  const unnamed = { ...good, jwk: { kty: "EC" } };
  const [second, third] = await Promise.all([signer("k5"), signer("k6")]);
  issuer.keys = [second.jwk, good.jwk];
  await eventually(async () => expect((await call("/", await sign(second))).status).toBe(200), 30_000);
  expect((await call("/", await sign(unnamed, { jti: "unnamed" }))).status).toBe(200);
  expect((await call("/", await sign({ ...third, jwk: unnamed.jwk }))).status).toBe(401);
  issuer.keys = [good.jwk];
}, 60_000);

test("an issuer whose keys were never had: 503, since the token may be as good as any", async () => {
  const away = new Issuer();
  away.away = true;
  await hops.mesh.apply(policy(away.uri, true));
  await eventually(async () => expect((await call("/", await sign(good))).status).toBe(503));
  await away.server.stop(true);
});

test("a token that is not required is validated all the same where there is one", async () => {
  await hops.mesh.apply(policy(issuer.uri, false));
  await eventually(async () => expect((await call("/")).status).toBe(200), 30_000);
  expect((await call("/", await sign(good))).status).toBe(200);
  expect((await call("/", await sign(other))).status).toBe(401);
  // Without a token there are no claims, so what a rule asks of them does not hold.
  expect((await call("/admin")).status).toBe(403);
  // Other schemes are the application's own business.
  const basic = { authorization: "Basic YTpi" };
  expect(await received(await hops.call("/x", { headers: basic }))).toContain("authorization: Basic YTpi");
}, 60_000);

/** A token with no signature. */
function unsigned(header: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part(header)}.${part({ iss: ISSUER, aud: "shop", exp: Math.floor(Date.now() / 1000) + 600 })}.`;
}

function signedWithSecret(secret: string): Promise<string> {
  return new SignJWT({ iss: ISSUER, aud: "shop", exp: Math.floor(Date.now() / 1000) + 600 })
    .setProtectedHeader({ alg: "HS256", kid: "k1" })
    .sign(new TextEncoder().encode(secret));
}

function tampered(token: string): string {
  const [header, payload = "", signature] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
  return [header, Buffer.from(JSON.stringify({ ...claims, sub: "root" })).toString("base64url"), signature].join(".");
}
