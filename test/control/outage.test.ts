/** A replica through the death of its server, and at a ledger that it cannot read. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { askStatus } from "../../src/cli/mesh/command-client.ts";
import { readEventLog } from "../../src/events/jetstream-log.ts";
import { LogCorruption } from "../../src/events/log.ts";
import { appendMessage } from "../../src/nats/stream-client.ts";
import { subjects } from "../../src/nats/subjects.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";
import { changeOf } from "../support/ledger.ts";
import { eventually } from "../support/mesh.ts";
import { applying, type ControlMesh, send, service, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replica: TestReplica;
beforeEach(async () => {
  mesh = await startMesh();
  replica = await mesh.startReplica({ instanceTtlMs: 1_500 });
});
afterEach(() => mesh.stop());

test("stays through kill -9 of nats-server, says so, forgets nobody, and goes on", async () => {
  await send(mesh.ada, applying(service("orders")));
  const status: InstanceStatus = {
    instance: "orders-1",
    namespace: "shop",
    service: "orders",
    state: "ready",
    host: "127.0.0.1",
    port: 15_006,
    labels: {},
    revision: 0,
    startedAt: "2026-01-01T00:00:00Z",
    version: "test",
  };
  const { bus } = await mesh.nats.connect(await mesh.nats.mintService("shop", "orders"));
  bus.publish(subjects.status("shop", "orders", "orders-1"), new TextEncoder().encode(JSON.stringify(status)));
  await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(1));

  await mesh.nats.kill9();
  await eventually(async () => expect((await fetch(`${replica.url}/healthz`)).status).toBe(503));
  // Longer than an instance may be silent: nobody could be heard, so nobody is taken for dead.
  const cutOff = performance.now();
  await eventually(() => expect(performance.now() - cutOff).toBeGreaterThan(2_000));
  await mesh.nats.restart();

  const reply = await eventually(() => send(mesh.ada, applying(service("web"))));
  expect(reply).toMatchObject({ kind: "decided", events: [{ type: "ServiceDeclared", name: "web" }] });
  expect((await askStatus(mesh.ada)).instances).toMatchObject([{ status: { instance: "orders-1" } }]);
  expect((await fetch(`${replica.url}/healthz`)).status).toBe(200);
  const messages = replica.lines.map(({ message }) => message);
  expect(messages).toContain("the connection to NATS is disconnected");
  expect(messages).toContain("the connection to NATS is back");
}, 40_000);

test("fails at an event that it does not know, rather than go on without it", async () => {
  const [last] = await Array.fromAsync(readEventLog(mesh.ada.bus).read());
  if (last === undefined) throw new Error("the ledger is empty");
  const change = changeOf("shop", [], { actor: "heddle", revision: 2, previous: "0".repeat(64) });
  const event = { type: "TeleportEnabled", namespace: "shop" };
  const foreign = { ...change, data: { ...change.data, events: [event] } };
  const failed = replica.failed.catch((error: unknown) => error);
  const data = new TextEncoder().encode(JSON.stringify(foreign));
  await appendMessage(replica.bus, { subject: subjects.events("shop"), data });
  const fault = await failed;
  expect(fault).toBeInstanceOf(LogCorruption);
  expect(String(fault)).toContain('event type "TeleportEnabled" is unknown to this program');
  await expect(mesh.startReplica()).rejects.toThrow("TeleportEnabled");
});
