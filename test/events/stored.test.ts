/** Reading a damaged ledger: what is there is told, and what is not. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { RetentionPolicy, StorageType } from "nats";
import { proveLedger } from "../../src/cli/mesh/ledger-proof.ts";
import { encodeChange } from "../../src/events/chain.ts";
import { FIRST_PREVIOUS } from "../../src/events/change.ts";
import { readStored } from "../../src/events/jetstream-log.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { appendMessage } from "../../src/nats/stream-client.ts";
import { EVENT_STREAM, subjects } from "../../src/nats/subjects.ts";
import { changeOf } from "../support/ledger.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

setDefaultTimeout(60_000);

let nats: TestNats;
let bus: NatsBus;

/** A stream as somebody has it who wants to take something out: the mesh's own refuses that. */
beforeAll(async () => {
  nats = await startTestNats();
  ({ bus } = await nats.connectControl());
  const manager = await bus.client.jetstreamManager({ checkAPI: false });
  await manager.streams.add({
    name: EVENT_STREAM,
    subjects: [subjects.allEvents],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    allow_direct: true,
  });
  for (let revision = 1; revision <= 5; revision++) {
    const declared = { type: "MeshDeclared", spec: { trustDomain: "mesh.local" } } as const;
    const change = changeOf("_mesh", [declared], { actor: "ada", revision, previous: FIRST_PREVIOUS });
    const bytes = revision === 4 ? new TextEncoder().encode("{") : encodeChange(change);
    await appendMessage(bus, { subject: subjects.events("_mesh"), data: bytes });
  }
  await manager.streams.deleteMessage(EVENT_STREAM, 2);
});

afterAll(async () => {
  await nats.stop();
});

test("a hole is told as one, and what lies around it is read", async () => {
  const entries = await Array.fromAsync(readStored(bus));
  expect(entries.map(({ revision, bytes }) => [revision, bytes !== undefined])).toEqual([
    [1, true],
    [2, false],
    [3, true],
    [4, true],
    [5, true],
  ]);
});

test("and the proof names every place", async () => {
  const { problems } = await proveLedger({ bus }, () => []);
  const found = problems.map(({ kind, revision }) => `${kind} ${revision}`);
  expect(found).toContain("dropped 2");
  expect(found).toContain("unreadable 4");
});
