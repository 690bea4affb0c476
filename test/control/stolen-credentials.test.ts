/**
 * What the server lets a sidecar's credentials send, bent in every way that a server's protocol offers: payloads and headers
 * that the permissions do not look at, and operations that no client sends. `attacks.test.ts` has what it refuses.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { directReader } from "../../src/nats/buckets.ts";
import type { Credentials } from "../../src/nats/credentials.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { directGetSubject } from "../../src/nats/permissions.ts";
import { getMessage } from "../../src/nats/stream-client.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET, subjects, TRAFFIC_STREAM } from "../../src/nats/subjects.ts";
import { hpub, pub, RawNats } from "../support/raw-nats.ts";
import { applying, type ControlMesh, send, service, startMesh } from "./mesh.ts";

let mesh: ControlMesh;
let thief: Credentials;
let raw: RawNats;
/** What comes to the thief's own inbox. */
let bus: NatsBus;
let control: NatsBus;

beforeAll(async () => {
  mesh = await startMesh();
  const replica = await mesh.startReplica();
  for (const name of ["web", "payment"]) {
    expect((await send(mesh.ada, applying(service(name)))).kind).toBe("decided");
  }
  await replica.settled();
  thief = await mesh.nats.mintService("shop", "web");
  raw = await RawNats.connect(mesh.nats.url, thief);
  ({ bus } = await mesh.nats.connect(thief));
  ({ bus: control } = await mesh.nats.connectControl());
});
afterAll(async () => {
  raw.close();
  await mesh.stop();
});

/** All that must stay as it is. */
async function standing() {
  const config = directReader(control, CONFIG_BUCKET);
  const digest = async (key: string) => Bun.hash((await config.get(key))?.value ?? "").toString();
  return {
    revision: await readEventLog(control).lastRevision(),
    snapshots: await Promise.all(["shop.web", "shop.payment"].map(digest)),
  };
}

/** What comes back to the inbox for these lines, when a request behind them has been answered. */
async function answersTo(lines: (reply: string) => string): Promise<string[]> {
  const inbox = `_INBOX.${thief.publicKey}.${crypto.randomUUID()}`;
  const answers: string[] = [];
  const behind = Promise.withResolvers<void>();
  const subscriptions = [
    bus.subscribe(inbox, ({ data }) => answers.push(new TextDecoder().decode(data))),
    bus.subscribe(`${inbox}.behind`, () => behind.resolve()),
  ];
  await bus.flush();
  const { closed } = await raw.attempt(lines(inbox));
  expect(closed).toBe(false);
  // After it in every queue on the way.
  await raw.attempt(pub(directGetSubject(CONFIG_BUCKET, "shop.web"), "", `${inbox}.behind`));
  await behind.promise;
  for (const subscription of subscriptions) subscription.stop();
  return answers;
}

describe("a question for its own snapshot is answered with nothing else, whatever is in the question:", () => {
  const payment = `$KV.${CONFIG_BUCKET}.shop.payment`;
  test.each([
    ['{"seq":1}'],
    ['{"seq":2}'],
    [`{"last_by_subj":"${payment}"}`],
    [`{"next_by_subj":"${payment}","seq":1}`],
    [`{"next_by_subj":">","seq":1,"batch":100}`],
    [`{"multi_last":["${payment}"]}`],
    ['{"multi_last":[">"],"batch":100,"max_bytes":1000000}'],
    ['{"batch":100}'],
    ['{"start_time":"2020-01-01T00:00:00Z","batch":100}'],
    ["["],
  ])("%s", async (payload) => {
    const answers = await answersTo((reply) => pub(directGetSubject(CONFIG_BUCKET, "shop.web"), payload, reply));
    for (const answer of answers) {
      const held = answer === "" ? undefined : (JSON.parse(answer) as { name?: string }).name;
      expect([undefined, "web"]).toContain(held);
    }
  });
});

describe("headers that mean something to a server change nothing beyond its own reports:", () => {
  const others = subjects.traffic("shop", "payment", "p-1");
  const own = subjects.traffic("shop", "web", "w-1");
  test.each<[string, Record<string, string>]>([
    ["roll the stream up", { "Nats-Rollup": "all" }],
    ["roll its own subject up", { "Nats-Rollup": "sub" }],
    ["expect another stream", { "Nats-Expected-Stream": "HEDDLE_EVENTS" }],
    ["say that it was stored in another stream", { "Nats-Stream": "HEDDLE_EVENTS", "Nats-Sequence": "1" }],
    ["live for a second", { "Nats-TTL": "1s" }],
    [
      "be sent later, to the ledger",
      { "Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": subjects.events("shop") },
    ],
    [
      "be sent again and again",
      { "Nats-Schedule": "@every 1s", "Nats-Schedule-Target": subjects.config("shop", "payment") },
    ],
    ["be part of a batch", { "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1" }],
    ["count", { "Nats-Incr": "+1" }],
    ["be traced into the ledger", { "Nats-Trace-Dest": subjects.events("shop") }],
    [
      "be traced into another's snapshot",
      { "Nats-Trace-Dest": subjects.config("shop", "payment"), "Nats-Trace-Only": "true" },
    ],
    [
      "be traced by its parent",
      {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Nats-Trace-Dest": "heddle.cmd.x.shop",
      },
    ],
    ["mark a key as deleted", { "KV-Operation": "PURGE" }],
  ])("%s", async (_, headers) => {
    const before = await standing();
    await control.publish(others, new TextEncoder().encode("kept"));
    await control.flush();
    const heard: string[] = [];
    const subscriptions = ["heddle.events.>", "heddle.config.>", "heddle.cmd.>", "heddle.ca.>"].map((subject) =>
      control.subscribe(subject, (message) => heard.push(message.subject)),
    );
    await control.flush();
    await answersTo((reply) => hpub(own, headers, "{}").replace(/^HPUB (\S+) /, `HPUB $1 ${reply} `));
    await control.flush();
    for (const subscription of subscriptions) subscription.stop();
    expect(heard).toEqual([]);
    const kept = await getMessage(control, TRAFFIC_STREAM, { seq: 1, next_by_subj: others });
    expect(kept?.sequence).toBe(1);
    expect(await standing()).toEqual(before);
  });
});

describe("an answer goes to nobody else's inbox:", () => {
  test.each([
    ["every inbox of ada", () => `_INBOX.${mesh.ada.credentials.publicKey}.>`],
    ["some inbox of ada", () => `_INBOX.${mesh.ada.credentials.publicKey}.*`],
    ["every inbox", () => "_INBOX.>"],
    ["everybody", () => ">"],
  ])("%s", async (_, reply) => {
    const heard: string[] = [];
    const inbox = `_INBOX.${mesh.ada.credentials.publicKey}.${crypto.randomUUID()}`;
    const subscription = mesh.ada.bus.subscribe(inbox, ({ subject }) => heard.push(subject));
    await mesh.ada.bus.flush();
    await answersTo(() => pub(directGetSubject(ENDPOINT_BUCKET, "shop.payment"), "", reply()));
    await mesh.ada.bus.flush();
    subscription.stop();
    expect(heard).toEqual([]);
  });
});

describe("whoever speaks as a server does is shown the door:", () => {
  test.each([
    ["as a route", "RMSG HEDDLE heddle.events.shop 2\r\n{}\r\n"],
    ["as a route that wants everything", "RS+ HEDDLE >\r\n"],
    ["as a leaf node", "LS+ >\r\n"],
    ["as a leaf node with a message", "LMSG heddle.events.shop 2\r\n{}\r\n"],
    ["as a gateway", "A+ HEDDLE\r\n"],
    ["nonsense", "\u0000\u0001GET / HTTP/1.1\r\n"],
    ["for another account", 'CONNECT {"account":"HEDDLE","new_account":true}\r\nSUB > 1\r\n'],
    ["again, as somebody else", 'CONNECT {"user":"control","pass":""}\r\nSUB heddle.> 1\r\n'],
  ])("%s", async (_, lines) => {
    const before = await standing();
    const other = await RawNats.connect(mesh.nats.url, thief);
    const { refusals, delivered, closed } = await other.attempt(lines);
    expect(closed || refusals.length > 0).toBe(true);
    expect(delivered).toEqual([]);
    other.close();
    expect(await standing()).toEqual(before);
  });
});
