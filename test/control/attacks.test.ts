/**
 * What somebody gets who has the credentials of one sidecar, of a viewer or of an editor, and a socket: every attempt is
 * sent by hand to a real server with a real control replica behind it. A row says what is tried and how the server
 * answers. Below the tables, what the server lets through must have no effect.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { signedText } from "../../src/control/protocol.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { directReader } from "../../src/nats/buckets.ts";
import type { Credentials } from "../../src/nats/credentials.ts";
import { sign } from "../../src/nats/keys.ts";
import { ACCOUNT_BORDER, bucketSubject, directGetSubject } from "../../src/nats/permissions.ts";
import { CHECKPOINT_BUCKET, CONFIG_BUCKET, ENDPOINT_BUCKET, EVENT_STREAM, subjects } from "../../src/nats/subjects.ts";
import { type Outcome, pub, RawNats, sub } from "../support/raw-nats.ts";
import { closedToAll, publishing, type Row, subscribing } from "./closed-subjects.ts";
import { applying, type ControlMesh, send, service, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replica: TestReplica;
let ada: Credentials;
const users: Record<"sidecar" | "viewer" | "editor", Credentials & { raw: RawNats }> = Object.create(null);

beforeAll(async () => {
  mesh = await startMesh();
  // Nobody is to be taken for dead because the machine is slow.
  replica = await mesh.startReplica({ instanceTtlMs: 600_000 });
  ({ credentials: ada } = mesh.ada);
  for (const text of [service("web"), service("payment"), service("vault", "bank")]) {
    const namespace = text.includes("bank") ? "bank" : "shop";
    expect((await send(mesh.ada, applying(text), { namespace })).kind).toBe("decided");
  }
  await replica.settled();
  const raw = (credentials: Credentials) => RawNats.connect(mesh.nats.url, credentials);
  const join = async (credentials: Credentials) => ({ ...credentials, raw: await raw(credentials) });
  users.sidecar = await join(await mesh.nats.mintService("shop", "web"));
  for (const role of ["viewer", "editor"] as const) {
    const user = { name: role, role, namespaces: role === "editor" ? ["shop"] : [] };
    const { credentials } = await mesh.connectOperator(user);
    await mesh.admit(replica, user, credentials.publicKey);
    users[role] = await join(credentials);
  }
});
afterAll(async () => {
  for (const { raw } of Object.values(users)) raw.close();
  await mesh.stop();
});

async function expectRefused(raw: RawNats, rows: readonly Row[]): Promise<void> {
  const wrong: string[] = [];
  for (const { what, lines, refusal } of rows) {
    const { refusals, delivered, closed } = await raw.attempt(lines);
    const asExpected = refusals.length === 1 && refusals[0]?.toLowerCase() === refusal.toLowerCase();
    if (!asExpected || delivered.length > 0 || closed) wrong.push(`${what}: ${refusals.join("; ") || "let through"}`);
  }
  expect(wrong).toEqual([]);
}

/** The reason may be lost: a server that closes with something unread resets the connection. */
function expectThrownOut({ refusals, closed }: Outcome, reason: string): void {
  expect(closed).toBe(true);
  expect([[], [reason]]).toContainEqual([...refusals]);
}

describe("the server refuses a sidecar", () => {
  test("what it refuses everybody", () => expectRefused(users.sidecar.raw, closedToAll(ada.publicKey)));

  test("what belongs to another service", () => {
    const { publicKey } = users.sidecar;
    return expectRefused(users.sidecar.raw, [
      publishing("read another's snapshot", directGetSubject(CONFIG_BUCKET, "shop.payment")),
      publishing("read a snapshot of another namespace", directGetSubject(CONFIG_BUCKET, "bank.vault")),
      publishing("read any snapshot", directGetSubject(CONFIG_BUCKET, "*.*")),
      publishing("read a snapshot by sequence", `$JS.API.DIRECT.GET.KV_${CONFIG_BUCKET}`, '{"seq":1}'),
      publishing("read the ledger by sequence", `$JS.API.DIRECT.GET.${EVENT_STREAM}`, '{"seq":1}'),
      publishing("read the ledger's last", `$JS.API.DIRECT.GET.${EVENT_STREAM}.${subjects.events("shop")}`),
      publishing("read a checkpoint", directGetSubject(CHECKPOINT_BUCKET, "mesh.3")),
      publishing("read endpoints by sequence", `$JS.API.DIRECT.GET.KV_${ENDPOINT_BUCKET}`, '{"seq":1}'),
      publishing("have another's certificate signed", subjects.sign("shop", "payment", publicKey)),
      publishing("have one signed in another namespace", subjects.sign("bank", "web", publicKey)),
      publishing("have one signed with another's key", subjects.sign("shop", "web", ada.publicKey)),
      publishing("report another's status", subjects.status("shop", "payment", "p-1")),
      publishing("report for another namespace", subjects.status("bank", "web", "w-1")),
      publishing("use up another's budget", subjects.quota("shop", "payment")),
      publishing("command under its own key", subjects.command(publicKey, "shop")),
      publishing("ask under its own key", subjects.query(publicKey, "status")),
      subscribing(subjects.config("shop", "payment")),
      subscribing(subjects.config("shop", "*")),
      subscribing(subjects.allRecorded),
      subscribing("heddle.endpoints.>"),
    ]);
  });

  test("whatever crosses the border between the accounts, under names that are not its own", () => {
    const others = (subject: string): string => subject.replaceAll("*", "other").replace(">", "other.other");
    const open: readonly string[] = [subjects.endpoints("*", "*")];
    return expectRefused(users.sidecar.raw, [
      ...ACCOUNT_BORDER.requests.map((subject) => publishing(`ask on ${subject}`, others(subject))),
      ...ACCOUNT_BORDER.feeds.filter((subject) => !open.includes(subject)).map((subject) => subscribing(subject)),
    ]);
  });

  test("more than its share: subscriptions, bytes of a message, bytes of a line", async () => {
    const own = subjects.config("shop", "web");
    const many = await RawNats.connect(mesh.nats.url, users.sidecar);
    expect((await many.attempt(Array.from({ length: 81 }, () => sub(own)).join(""))).refusals).toEqual(
      Array.from({ length: 17 }, () => "maximum subscriptions exceeded"),
    );
    many.close();
    const status = subjects.status("shop", "web", "w-1");
    const large = await RawNats.connect(mesh.nats.url, users.sidecar);
    expectThrownOut(await large.attempt(`PUB ${status} ${1024 * 1024 + 1}\r\n`), "Maximum Payload Violation");
    const long = await RawNats.connect(mesh.nats.url, users.sidecar);
    const tooLong = await long.attempt(`PUB ${status}.${"x".repeat(8_192)} 0\r\n\r\n`);
    expectThrownOut(tooLong, "maximum control line exceeded");
  });
});

describe("the server refuses a viewer", () => {
  test("what it refuses everybody", () => expectRefused(users.viewer.raw, closedToAll(ada.publicKey)));

  test("every command", () => {
    const { publicKey } = users.viewer;
    const namespaces = ["shop", "bank", "_mesh", "*"];
    return expectRefused(users.viewer.raw, [
      ...namespaces.map((namespace) => publishing(`change ${namespace}`, subjects.command(publicKey, namespace))),
      publishing("have a certificate signed", subjects.sign("shop", "web", publicKey)),
      publishing("report a status", subjects.status("shop", "web", "w-1")),
      subscribing(subjects.config("shop", "web")),
    ]);
  });
});

describe("the server refuses an editor of shop", () => {
  test("what it refuses everybody", () => expectRefused(users.editor.raw, closedToAll(ada.publicKey)));

  test("the commands of other namespaces", () => {
    const { publicKey } = users.editor;
    return expectRefused(users.editor.raw, [
      ...["bank", "_mesh", "*", "shop.bank", ">"].map((namespace) =>
        publishing(`change ${namespace}`, subjects.command(publicKey, namespace)),
      ),
      publishing("change with a viewer's key", subjects.command(users.viewer.publicKey, "shop")),
    ]);
  });
});

/** All that must stay as it is, whatever somebody sends. */
async function standing() {
  const config = directReader(mesh.ada.bus, CONFIG_BUCKET);
  const digest = async (key: string) => Bun.hash((await config.get(key))?.value ?? "").toString();
  return {
    revision: await readEventLog(mesh.ada.bus).lastRevision(),
    snapshots: await Promise.all(["shop.web", "shop.payment", "bank.vault"].map(digest)),
  };
}

describe("what the server lets through has no effect:", () => {
  test("answers that are to go where the asker may not publish", async () => {
    const before = await standing();
    const { raw, publicKey } = users.sidecar;
    const victims = [
      subjects.events("shop"),
      subjects.config("shop", "payment"),
      bucketSubject(CONFIG_BUCKET, "shop.payment"),
      subjects.sign("shop", "payment", publicKey),
      subjects.status("shop", "payment", "p-1"),
      subjects.command(ada.publicKey, "shop"),
      subjects.query(ada.publicKey, "status"),
    ];
    const heard: string[] = [];
    const { bus } = await mesh.nats.connectControl();
    for (const subject of ["heddle.events.>", "heddle.config.>", "heddle.ca.>", "heddle.status.>", "heddle.cmd.>"]) {
      bus.subscribe(subject, (message) => heard.push(message.subject));
    }
    await bus.flush();
    for (const reply of victims) {
      await raw.attempt(pub(directGetSubject(CONFIG_BUCKET, "shop.web"), "", reply));
      await raw.attempt(pub(directGetSubject(ENDPOINT_BUCKET, "shop.payment"), "", reply));
    }
    // Answers come in order: behind this one there is none of the above.
    await mesh.ada.bus.request(subjects.query(ada.publicKey, "status"), new Uint8Array(), { timeoutMs: 10_000 });
    await bus.flush();
    expect(heard.filter((subject) => victims.includes(subject))).toEqual([]);
    expect(await standing()).toEqual(before);
  });

  /** A command as an editor would send it, with what is wrong about it. */
  function forged(options: { namespace?: string; signer?: Credentials; body?: object; reply: string }): string {
    const {
      namespace = "shop",
      signer = users.editor,
      body = { kind: "delete", keys: ["Service/bank/vault"] },
    } = options;
    const command = JSON.stringify({
      id: crypto.randomUUID(),
      time: new Date().toISOString(),
      namespace,
      reason: "",
      dryRun: false,
      body,
    });
    const signature = Buffer.from(sign(signer.seed, new TextEncoder().encode(signedText(command)))).toString(
      "base64url",
    );
    const subject = subjects.command(users.editor.publicKey, "shop");
    return pub(subject, JSON.stringify({ command, signature }), options.reply);
  }

  test("commands whose inside is not what their subject says", async () => {
    const before = await standing();
    const { bus } = await mesh.nats.connect(users.editor);
    const inbox = `_INBOX.${users.editor.publicKey}.forged`;
    const answers: string[] = [];
    const all = Promise.withResolvers<void>();
    const attempts = [
      forged({ namespace: "bank", reply: inbox }),
      forged({ namespace: "_mesh", body: { kind: "operator-revoke", name: "ada" }, reply: inbox }),
      forged({ signer: users.viewer, reply: inbox }),
      forged({ reply: inbox }),
      forged({ body: { kind: "token-revoke", publicKey: ada.publicKey }, reply: inbox }),
      forged({
        body: { kind: "operator-add", name: "eve", publicKey: users.viewer.publicKey, role: "admin", namespaces: [] },
        reply: inbox,
      }),
      forged({ body: { kind: "bootstrap" }, reply: inbox }),
      pub(subjects.command(users.editor.publicKey, "shop"), "not even JSON", inbox),
    ];
    bus.subscribe(inbox, ({ data }) => {
      const { kind } = JSON.parse(new TextDecoder().decode(data)) as { kind: string };
      if (answers.push(kind) === attempts.length) all.resolve();
    });
    await bus.flush();
    for (const attempt of attempts) expect((await users.editor.raw.attempt(attempt)).refusals).toEqual([]);
    await all.promise;
    expect(new Set(answers)).toEqual(new Set(["refused"]));
    expect(await standing()).toEqual(before);
  });

  test("statuses under made-up names: the mesh counts so many instances and no more", async () => {
    const { raw } = users.sidecar;
    const body = (instance: string): string =>
      JSON.stringify({
        instance,
        namespace: "shop",
        service: "web",
        state: "ready",
        host: "10.0.0.1",
        port: 1,
        labels: {},
        revision: 0,
        startedAt: new Date().toISOString(),
        version: "0",
      });
    for (let batch = 0; batch < 30; batch++) {
      const names = Array.from({ length: 100 }, (_, index) => `evil-${batch}-${index}`);
      await raw.attempt(names.map((name) => pub(subjects.status("shop", "web", name), body(name))).join(""));
    }
    await mesh.ada.bus.request(subjects.query(ada.publicKey, "ping"), new Uint8Array(), { timeoutMs: 10_000 });
    await replica.settled();
    const stored = await directReader(mesh.ada.bus, ENDPOINT_BUCKET).get("shop.web");
    const { endpoints } = JSON.parse(new TextDecoder().decode(stored?.value)) as { endpoints: unknown[] };
    expect(endpoints.length).toBeGreaterThan(0);
    expect(endpoints.length).toBeLessThanOrEqual(2_000);
    // And it still does its work.
    expect((await send(mesh.ada, applying(service("orders")))).kind).toBe("decided");
  });
});

describe("credentials themselves", () => {
  const cases: [string, () => Promise<Pick<Credentials, "jwt" | "seed">>][] = [
    ["a JWT with another's key", async () => ({ jwt: ada.jwt, seed: users.sidecar.seed })],
    ["a JWT that was edited", async () => ({ jwt: edited(users.sidecar.jwt), seed: users.sidecar.seed })],
    ["no JWT", async () => ({ jwt: "", seed: users.sidecar.seed })],
    ["garbage", async () => ({ jwt: "a.b.c", seed: users.sidecar.seed })],
  ];
  for (const [what, make] of cases) {
    test(`${what} is refused`, async () => {
      await expect(RawNats.connect(mesh.nats.url, await make())).rejects.toThrow("Authorization Violation");
    });
  }

  /** With permission for everything, and the signature that it had. */
  function edited(jwt: string): string {
    const [head = "", claims = "", signature = ""] = jwt.split(".");
    const parsed = JSON.parse(Buffer.from(claims, "base64url").toString()) as { nats: object };
    const changed = { ...parsed, nats: { ...parsed.nats, pub: { allow: [">"] }, sub: { allow: [">"] } } };
    return `${head}.${Buffer.from(JSON.stringify(changed)).toString("base64url")}.${signature}`;
  }
});
