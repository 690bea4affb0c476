/** Commands over a real server, from the operator's signature to the ledger. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ulid } from "ulid";
import type { CommandSender } from "../../src/cli/mesh/command-client.ts";
import { type CommandReply, commandReply, signedText } from "../../src/control/protocol.ts";
import { verifyChain } from "../../src/events/chain.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { sign, verify } from "../../src/nats/keys.ts";
import { subjects } from "../../src/nats/subjects.ts";
import { applying, type ControlMesh, send, service, split, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replica: TestReplica;
let ada: CommandSender;
beforeAll(async () => {
  mesh = await startMesh();
  replica = await mesh.startReplica();
  ada = mesh.ada;
  decided(await send(ada, applying(`${service("catalog")}---\n${split("catalog", 90, 10)}`)));
});
afterAll(() => mesh.stop());

type Decided = Extract<CommandReply, { kind: "decided" }>;

function decided(reply: CommandReply): Decided {
  if (reply.kind !== "decided") throw new Error(JSON.stringify(reply));
  return reply;
}

function shift(v2: number): CommandBody {
  return { kind: "shift", service: { namespace: "shop", name: "catalog" }, percent: { v2 } };
}

function lastRevision(): Promise<number> {
  return readEventLog(ada.bus).lastRevision();
}

test("a command is decided, recorded once, and by its actor", async () => {
  const reply = decided(await send(ada, applying(service("orders")), { reason: "orders goes live" }));
  expect(reply.events.map(({ type }) => type)).toEqual(["ServiceDeclared"]);
  const revision = reply.revision ?? 0;
  expect(revision).toBe(await lastRevision());
  expect(replica.revision).toBe(revision);
  const [recorded] = await Array.fromAsync(readEventLog(ada.bus).read({ from: revision, to: revision }));
  const { publicKey } = ada.credentials;
  expect(recorded?.change).toMatchObject({ subject: "shop", authtype: "user", authid: publicKey });
  expect(recorded?.change.data).toMatchObject({
    actor: { name: "ada", publicKey },
    reason: "orders goes live",
    command: { kind: "apply" },
    events: reply.events,
  });
});

test("the ledger is a chain, and every command in it is its actor's", async () => {
  decided(await send(ada, applying(service("web"))));
  decided(await send(ada, applying(service("billing", "office")), { namespace: "office" }));
  expect((await verifyChain(readEventLog(ada.bus).read())).problems).toEqual([]);
  const changes = await Array.fromAsync(readEventLog(ada.bus).read({ from: 2 }));
  expect(changes.length).toBeGreaterThanOrEqual(2);
  for (const { change } of changes) {
    const { actor, command } = change.data;
    const signature = Buffer.from(command.signature ?? "", "base64url");
    expect(verify(actor.publicKey ?? "", new TextEncoder().encode(command.digest), signature)).toBe(true);
  }
});

test("a dry run says what would happen, and nothing does", async () => {
  const before = await lastRevision();
  const body = applying(service("dry"));
  const dry = decided(await send(ada, body, { dryRun: true }));
  expect(dry.events.map(({ type }) => type)).toEqual(["ServiceDeclared"]);
  expect(dry.revision).toBeUndefined();
  expect(await lastRevision()).toBe(before);
  const real = decided(await send(ada, body, { seen: { revision: dry.basedOn, digest: dry.digest } }));
  expect(real.events).toEqual(dry.events);
  expect(real.digest).toBe(dry.digest);
});

test("what is so already changes nothing", async () => {
  const before = await lastRevision();
  const reply = decided(await send(ada, applying(service("catalog"))));
  expect(reply.events).toEqual([]);
  expect(reply.revision).toBeUndefined();
  expect(await lastRevision()).toBe(before);
});

test("what makes no sense is refused in words", async () => {
  const reply = await send(ada, { kind: "delete", keys: ["Service/shop/catlog"] });
  expect(reply).toMatchObject({ kind: "refused", problems: [{ path: "Service/shop/catlog" }] });
});

test("rolling back reads the past", async () => {
  const before = decided(await send(ada, applying(service("past")))).revision ?? 0;
  decided(await send(ada, { kind: "delete", keys: ["Service/shop/past"] }));
  decided(await send(ada, applying(service("later"))));
  const body: CommandBody = { kind: "rollback", toRevision: before, only: ["Service/shop/past"] };
  const reply = decided(await send(ada, body));
  expect(reply.events.map(({ type }) => type)).toEqual(["RolledBack", "ServiceDeclared"]);
  const never = await send(ada, { kind: "rollback", toRevision: 1_000_000 });
  expect(never).toMatchObject({ kind: "refused", problems: [{ path: "toRevision" }] });
});

test("a rollback that would undo what others did is refused, whoever's program sends it", async () => {
  const before = decided(await send(ada, applying(service("shared")))).revision ?? 0;
  const user = { name: "olga", role: "admin", namespaces: [] } as const;
  const olga = await mesh.connectOperator(user);
  await mesh.admit(replica, user, olga.credentials.publicKey);
  const theirs = decided(await send(olga, applying(split("shared", 50, 50)))).revision ?? 0;
  const body = { kind: "rollback", toRevision: before, only: ["Route/shop/shared"] } as const;
  const asked = (othersUpTo?: number): CommandBody => ({ ...body, only: [...body.only], othersUpTo });
  const refused = JSON.stringify(await send(ada, asked()));
  expect(refused).toContain(`this would undo what olga did at revision ${theirs}`);
  expect(JSON.stringify(await send(ada, asked(theirs - 1)))).toContain("othersUpTo");
  // What is one's own may go, and so may what was said to be meant.
  expect(decided(await send(olga, asked(), { dryRun: true })).events).toHaveLength(2);
  expect(decided(await send(ada, asked(theirs))).events).toMatchObject([
    { type: "RolledBack" },
    { type: "RouteRemoved" },
  ]);
});

describe("who was overtaken learns by whom and what", () => {
  test("since a dry run", async () => {
    const dry = decided(await send(ada, shift(30), { dryRun: true }));
    const other = decided(await send(ada, shift(50), { reason: "the canary looks good" }));
    const reply = await send(ada, shift(30), { seen: { revision: dry.basedOn, digest: dry.digest } });
    expect(reply).toMatchObject({
      kind: "conflict",
      changes: [{ revision: other.revision, actor: "ada", reason: "the canary looks good" }],
    });
    if (reply.kind !== "conflict") throw new Error("no conflict");
    expect(reply.changes[0]?.lines.join()).toContain("catalog");
  });

  test("a change elsewhere in the namespace is none of it", async () => {
    const dry = decided(await send(ada, shift(60), { dryRun: true }));
    decided(await send(ada, applying(service("elsewhere"))));
    decided(await send(ada, shift(60), { seen: { revision: dry.basedOn, digest: dry.digest } }));
  });

  test("a digest that was never seen is refused", async () => {
    const { basedOn: revision } = decided(await send(ada, shift(1), { dryRun: true }));
    const reply = await send(ada, shift(1), { seen: { revision, digest: "0".repeat(64) } });
    expect(reply).toMatchObject({ kind: "refused", problems: [{ path: "seen" }] });
  });

  test("at the same moment, having seen the same: exactly one wins", async () => {
    const second = await mesh.startReplica();
    for (let round = 0; round < 5; round++) {
      const bodies = [shift(21 + round), shift(71 + round)];
      const commands = await Promise.all(
        bodies.map(async (body) => {
          const { basedOn, digest } = decided(await send(ada, body, { dryRun: true }));
          return { body, seen: { revision: basedOn, digest } };
        }),
      );
      const replies = await Promise.all(commands.map(({ body, seen }) => send(ada, body, { seen })));
      const winner = replies.find(({ kind }) => kind === "decided");
      const loser = replies.find(({ kind }) => kind === "conflict");
      if (winner?.kind !== "decided" || loser?.kind !== "conflict") throw new Error(JSON.stringify(replies));
      expect(loser.changes.map(({ revision, actor }) => ({ revision, actor }))).toEqual([
        { revision: winner.revision ?? 0, actor: "ada" },
      ]);
    }
    await second.stop();
  });

  test("of replicas that decide at once: one wins, or both in turn, and no change is lost", async () => {
    const second = await mesh.startReplica();
    const before = decided(await send(ada, applying(service("race")))).revision ?? 0;
    const shares = Array.from({ length: 8 }, (_, index) => 11 + index);
    const seen = decided(await send(ada, shift(11), { dryRun: true })).basedOn;
    const replies = await Promise.all(shares.map((share) => send(ada, shift(share))));
    const won = replies.filter(({ kind }) => kind === "decided").map((reply) => decided(reply).revision);
    for (const reply of replies) {
      if (reply.kind === "decided") continue;
      if (reply.kind !== "conflict") throw new Error(JSON.stringify(reply));
      expect(reply.changes.length).toBeGreaterThan(0);
      for (const change of reply.changes) {
        expect(change.revision).toBeGreaterThan(seen);
        expect(change.actor).toBe("ada");
        expect(won).toContain(change.revision);
      }
    }
    const recorded = await Array.fromAsync(readEventLog(ada.bus).read({ from: before + 1, namespace: "shop" }));
    expect(recorded.map(({ revision }) => revision)).toEqual(won.map(Number).sort((a, b) => a - b));
    expect((await verifyChain(readEventLog(ada.bus).read())).problems).toEqual([]);
    await second.stop();
  });
});

describe("the second gate holds where the server's permissions are left out", () => {
  /** Sends as control, whose credentials may publish on everybody's subjects. */
  async function sendRaw(subject: string, message: unknown): Promise<CommandReply> {
    const data = new TextEncoder().encode(typeof message === "string" ? message : JSON.stringify(message));
    const reply = await replica.bus.request(subject, data, { timeoutMs: 5_000 });
    return commandReply.parse(JSON.parse(new TextDecoder().decode(reply)));
  }

  function request(overrides: object = {}): string {
    const time = new Date().toISOString();
    const body = applying(service("forged"));
    return JSON.stringify({ id: ulid(), time, namespace: "shop", reason: "", dryRun: false, body, ...overrides });
  }

  function signed(command: string, seed: string): { command: string; signature: string } {
    const signature = sign(seed, new TextEncoder().encode(signedText(command)));
    return { command, signature: Buffer.from(signature).toString("base64url") };
  }

  test.each<[string, () => object | string, string]>([
    ["no JSON", () => "hello", "not a signed command"],
    ["no signature", () => ({ command: request() }), "not a signed command"],
    ["a signature that is none", () => ({ command: request(), signature: "AAAA" }), "the signature is not"],
    [
      "a signature over something else",
      () => ({ ...signed(request(), ada.credentials.seed), command: request() }),
      "the signature is not",
    ],
    ["another namespace", () => signed(request({ namespace: "office" }), ada.credentials.seed), "sent as one for shop"],
    [
      "an old command",
      () => signed(request({ time: new Date(Date.now() - 6 * 60_000).toISOString() }), ada.credentials.seed),
      "set the clock",
    ],
    [
      "a command of the future",
      () => signed(request({ time: new Date(Date.now() + 6 * 60_000).toISOString() }), ada.credentials.seed),
      "set the clock",
    ],
    ["no time", () => signed(request({ time: "soon" }), ada.credentials.seed), "set the clock"],
    ["a field too many", () => signed(request({ sudo: true }), ada.credentials.seed), "sudo"],
    ["no command", () => signed("[]", ada.credentials.seed), "expected object"],
  ])("%s", async (_, message, words) => {
    const before = await lastRevision();
    const reply = await sendRaw(subjects.command(ada.credentials.publicKey, "shop"), message());
    if (reply.kind !== "refused") throw new Error(JSON.stringify(reply));
    expect(reply.problems.map((problem) => problem.message).join()).toContain(words);
    expect(await lastRevision()).toBe(before);
  });

  test("somebody else's signature", async () => {
    const eve = await mesh.nats.mintOperator({ name: "eve", role: "admin", namespaces: [] });
    const subject = subjects.command(ada.credentials.publicKey, "shop");
    const reply = await sendRaw(subject, signed(request(), eve.seed));
    expect(reply).toMatchObject({ kind: "refused" });
    expect(JSON.stringify(reply)).toContain("the signature is not");
  });

  test("a subject without a key", async () => {
    expect(await sendRaw("heddle.cmd.ada.shop", signed(request(), ada.credentials.seed))).toMatchObject({
      kind: "refused",
    });
  });

  test("a command that was carried out, at whichever replica", async () => {
    const message = signed(request({ body: applying(service("once")) }), ada.credentials.seed);
    const subject = subjects.command(ada.credentials.publicKey, "shop");
    decided(await sendRaw(subject, message));
    decided(await send(ada, { kind: "delete", keys: ["Service/shop/once"] }));
    const before = await lastRevision();
    expect(JSON.stringify(await sendRaw(subject, message))).toContain("was received before");
    // A replica that was not there then.
    const later = await mesh.startReplica();
    for (let count = 0; count < 8; count++) {
      expect(JSON.stringify(await sendRaw(subject, message))).toContain("was received before");
    }
    await later.stop();
    expect(await lastRevision()).toBe(before);
  });

  test("an operator whom the ledger does not know", async () => {
    const stranger = await mesh.connectOperator({ name: "mallory", role: "admin", namespaces: [] });
    const reply = await send(stranger, applying(service("forged")));
    expect(JSON.stringify(reply)).toContain("the mesh knows no operator with the key");
  });

  test("a viewer, and an editor of another namespace", async () => {
    // The server would let both: their JWTs say admin. The ledger says otherwise.
    const rita = await mesh.connectOperator({ name: "rita", role: "admin", namespaces: [] });
    await mesh.admit(replica, { name: "rita", role: "viewer", namespaces: [] }, rita.credentials.publicKey);
    expect(JSON.stringify(await send(rita, applying(service("forged"))))).toContain("rita is viewer and may only read");

    const eddie = await mesh.connectOperator({ name: "eddie", role: "admin", namespaces: [] });
    await mesh.admit(replica, { name: "eddie", role: "editor", namespaces: ["office"] }, eddie.credentials.publicKey);
    const refused = await send(eddie, applying(service("forged")));
    expect(JSON.stringify(refused)).toContain("eddie is editor and may change office only");
    decided(await send(eddie, applying(service("desk", "office")), { namespace: "office" }));
  });

  test("an editor's own credentials do not even reach another namespace", async () => {
    const editor = await mesh.connectOperator({ name: "ed", role: "editor", namespaces: ["office"] });
    await expect(send(editor, applying(service("forged")))).rejects.toThrow(
      /may not change the namespace shop|no answer/,
    );
  }, 40_000);
});
