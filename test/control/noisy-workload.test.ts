/** What somebody can do to the rest of the mesh who has the credentials of one service and says whatever they like. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { askStatus } from "../../src/cli/mesh/command-client.ts";
import { mintServiceUser } from "../../src/nats/credentials.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { subjects } from "../../src/nats/subjects.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";
import { eventually } from "../support/mesh.ts";
import { type ControlMesh, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replica: TestReplica;
let heard: NatsBus;
beforeAll(async () => {
  mesh = await startMesh();
  heard = (await mesh.nats.connectControl()).bus;
  // A clock that stands still: what may be said per second does not depend on how fast this machine is.
  const nowMs = Date.now();
  replica = await mesh.startReplica({ heard, instancesPerService: 3, now: () => nowMs });
});
afterAll(() => mesh.stop());

async function workload(service: string): Promise<(instance: string) => void> {
  const { bus } = await mesh.nats.connect(await mintServiceUser(await mesh.nats.directory.trust(), "shop", service));
  return (instance) => {
    const status: InstanceStatus = {
      ...{ instance, namespace: "shop", service, state: "ready", host: "10.0.0.1", port: 15006, labels: {} },
      ...{ revision: 0, startedAt: "2026-01-01T00:00:00Z", version: "test" },
    };
    bus.publish(subjects.status("shop", service, instance), new TextEncoder().encode(JSON.stringify(status)));
  };
}

async function metric(name: string): Promise<number> {
  const page = await (await fetch(`${replica.url}/metrics`)).text();
  const line = page.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}

test("invents no more instances than a service may have, which is said, logged and counted", async () => {
  const [invent, announce] = [await workload("web"), await workload("orders")];
  for (let at = 0; at < 8; at++) invent(`invented-${at}`);
  announce("real");
  await eventually(async () => expect(await metric('heddle_statuses_refused_total{reason="full"}')).toBe(5));
  await eventually(async () => expect(await metric("heddle_instances_connected")).toBe(4));
  const lines = replica.lines.filter(({ message }) => message.startsWith("shop/web has 3 instances"));
  expect(lines.map(({ message }) => message)).toEqual([expect.stringContaining("--instances-per-service")]);
});

test("is not listened to beyond what all instances of a service could have to say; others are", async () => {
  const [flood, announce] = [await workload("web"), await workload("payment")];
  for (let sent = 0; sent < 10_000; sent++) flood("invented-0");
  announce("real");
  await eventually(async () => {
    const { instances } = await askStatus(mesh.ada);
    expect(instances.map(({ status }) => status.service)).toContain("payment");
  }, 40_000);
  await eventually(async () => {
    expect(await metric('heddle_statuses_refused_total{reason="rate"}')).toBe(2_008);
  }, 40_000);
});

test("is heard on a connection of its own: commands and questions do not wait for it", async () => {
  await heard.close();
  (await workload("late"))("unheard");
  expect((await askStatus(mesh.ada)).instances.map(({ status }) => status.service)).not.toContain("late");
  expect((await fetch(`${replica.url}/healthz`)).status).toBe(503);
});
