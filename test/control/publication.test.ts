/** What a replica publishes, what it hears of instances, and what it answers about both: over a real server. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { askStatus, askWait } from "../../src/cli/mesh/command-client.ts";
import { directReader } from "../../src/nats/buckets.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET, subjects } from "../../src/nats/subjects.ts";
import { endpointSet, type InstanceStatus, serviceSnapshot } from "../../src/projections/snapshot.ts";
import { eventually } from "../support/mesh.ts";
import { applying, type ControlMesh, send, service, startMesh, type TestReplica } from "./mesh.ts";

let mesh: ControlMesh;
let replica: TestReplica;
beforeEach(async () => {
  mesh = await startMesh();
  replica = await mesh.startReplica();
});
afterEach(() => mesh.stop());

/** An instance of a service as NATS sees it: a connection with that service's credentials, which says what it likes. */
class Instance {
  readonly #bus: NatsBus;
  readonly #status: InstanceStatus;

  private constructor(bus: NatsBus, status: InstanceStatus) {
    this.#bus = bus;
    this.#status = status;
  }

  static async connect(name: string, instance: string): Promise<Instance> {
    const { bus } = await mesh.nats.connect(await mesh.nats.mintService("shop", name));
    return new Instance(bus, {
      instance,
      namespace: "shop",
      service: name,
      state: "ready",
      host: "127.0.0.1",
      port: 15_006,
      labels: { version: "v1" },
      revision: 0,
      startedAt: "2026-01-01T00:00:00Z",
      version: "test",
    });
  }

  say(said: Partial<InstanceStatus>): void {
    const status = { ...this.#status, ...said };
    const subject = subjects.status(status.namespace, status.service, status.instance);
    this.#bus.publish(subject, new TextEncoder().encode(JSON.stringify(status)));
  }
}

async function apply(...names: string[]): Promise<number> {
  const reply = await send(mesh.ada, applying(names.map((name) => service(name)).join("---\n")));
  if (reply.kind !== "decided" || reply.revision === undefined) throw new Error(JSON.stringify(reply));
  return reply.revision;
}

function parse(data: Uint8Array | undefined): unknown {
  return JSON.parse(new TextDecoder().decode(data));
}

function metrics(): Promise<string> {
  return fetch(`${replica.url}/metrics`).then((response) => response.text());
}

describe("out", () => {
  test("a snapshot is in its bucket, and was pushed", async () => {
    const { bus } = await mesh.nats.connect(await mesh.nats.mintService("shop", "orders"));
    const pushed: unknown[] = [];
    bus.subscribe(subjects.config("shop", "orders"), ({ data }) => pushed.push(parse(data)));
    await bus.flush();
    const revision = await apply("orders");
    await replica.settled();
    const stored = parse((await directReader(bus, CONFIG_BUCKET).get("shop.orders"))?.value);
    expect(serviceSnapshot.parse(stored)).toMatchObject({ revision, namespace: "shop", name: "orders" });
    expect(serviceSnapshot.parse(stored).trustBundle).toHaveLength(1);
    await eventually(() => expect(pushed).toEqual([stored]));
  });

  test("endpoints are in their bucket, and were pushed", async () => {
    await apply("orders");
    const { bus } = await mesh.nats.connect(await mesh.nats.mintService("shop", "web"));
    const pushed: unknown[] = [];
    bus.subscribe(subjects.endpoints("shop", "orders"), ({ data }) => pushed.push(parse(data)));
    await bus.flush();
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({});
    const [set] = await eventually(() => {
      expect(pushed).toHaveLength(1);
      return pushed;
    });
    expect(endpointSet.parse(set).endpoints).toEqual([
      { instance: "orders-1", host: "127.0.0.1", port: 15_006, labels: { version: "v1" } },
    ]);
    expect(parse((await directReader(bus, ENDPOINT_BUCKET).get("shop.orders"))?.value)).toEqual(set);
  });

  test("what was published before a replica started is what a new one publishes", async () => {
    const revision = await apply("orders", "web");
    await replica.stop();
    const next = await mesh.startReplica();
    await next.settled();
    const status = await askStatus(mesh.ada);
    expect(status.services.map(({ expectedRevision }) => expectedRevision)).toEqual([revision, revision]);
  });
});

describe("status", () => {
  test("names services and what each should enforce; all of it has effect", async () => {
    const revision = await apply("orders", "web");
    // Decided, and published a moment later.
    await eventually(async () => {
      expect((await askStatus(mesh.ada)).services).toMatchObject([
        { namespace: "shop", name: "orders", expectedRevision: revision },
        { namespace: "shop", name: "web", expectedRevision: revision },
      ]);
    });
    expect((await askStatus(mesh.ada)).notEnforced).toEqual([]);
    const permissive =
      "apiVersion: heddle/v1\nkind: Mesh\nmetadata: { name: default }\nspec: { trustDomain: mesh.local, mtls: permissive }\n";
    await send(mesh.ada, applying(permissive), { namespace: "_mesh" });
    expect((await askStatus(mesh.ada)).notEnforced).toEqual([]);
  });

  test("shows what instances say, and how long ago", async () => {
    const revision = await apply("orders");
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({ revision });
    const { instances } = await eventually(async () => {
      const status = await askStatus(mesh.ada);
      expect(status.instances).toHaveLength(1);
      return status;
    });
    expect(instances[0]).toMatchObject({ status: { instance: "orders-1", revision }, connected: true });
    expect(instances[0]?.silentMs).toBeLessThan(10_000);
    orders.say({ state: "gone" });
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toEqual([]));
  });

  test("an instance that fell silent is still shown, and called disconnected", async () => {
    await replica.stop();
    replica = await mesh.startReplica({ instanceTtlMs: 300 });
    await apply("orders");
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({});
    await eventually(async () => {
      expect((await askStatus(mesh.ada)).instances).toMatchObject([{ connected: false }]);
    });
  });
});

describe("wait", () => {
  test("with no instance there is nothing to wait for", async () => {
    const revision = await apply("orders");
    expect(await askWait(mesh.ada, { revision, timeoutMs: 5_000 })).toEqual({ applied: true, lagging: [] });
  });

  test("is answered when the last instance has acknowledged", async () => {
    const [one, two] = [await Instance.connect("orders", "one"), await Instance.connect("orders", "two")];
    one.say({});
    two.say({});
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(2));
    const revision = await apply("orders");
    const waiting = askWait(mesh.ada, { revision, timeoutMs: 20_000 });
    one.say({ revision });
    const half = await askWait(mesh.ada, { revision, timeoutMs: 100 });
    expect(half.applied).toBe(false);
    expect(half.lagging).toEqual([
      { instance: "two", service: "shop/orders", revision: 0, why: `has no snapshot yet, should enforce ${revision}` },
    ]);
    two.say({ revision });
    const reply = await waiting;
    expect(reply).toMatchObject({ applied: true, lagging: [] });
    expect(reply.convergenceMs).toBeGreaterThan(0);
    expect(reply.convergenceMs).toBeLessThan(20_000);
    expect(await metrics()).toContain("heddle_convergence_seconds_count 1");
  });

  test("asks of an instance only what concerns its service", async () => {
    const first = await apply("orders");
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({ revision: first });
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(1));
    const reply = await send(mesh.ada, applying(service("billing", "office")), { namespace: "office" });
    if (reply.kind !== "decided" || reply.revision === undefined) throw new Error(JSON.stringify(reply));
    const { revision } = reply;
    expect(await askWait(mesh.ada, { revision, timeoutMs: 5_000 })).toEqual({ applied: true, lagging: [] });
  });

  test("says who refused, and why", async () => {
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({});
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(1));
    const revision = await apply("orders");
    orders.say({ rejected: { revision, reason: "no such filter" } });
    await eventually(async () => {
      const { applied, lagging } = await askWait(mesh.ada, { revision, timeoutMs: 0 });
      expect(applied).toBe(false);
      expect(lagging).toMatchObject([{ instance: "orders-1", why: `rejected ${revision}: no such filter` }]);
    });
  });

  test("who is gone or has fallen silent keeps nobody waiting", async () => {
    await replica.stop();
    replica = await mesh.startReplica({ instanceTtlMs: 500 });
    const [gone, silent] = [await Instance.connect("orders", "gone"), await Instance.connect("orders", "silent")];
    gone.say({});
    silent.say({});
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(2));
    const revision = await apply("orders");
    const waiting = askWait(mesh.ada, { revision, timeoutMs: 20_000 });
    gone.say({ state: "gone" });
    const reply = await waiting;
    expect(reply.applied).toBe(true);
    expect(reply.lagging).toMatchObject([{ instance: "silent" }]);
    expect(reply.lagging[0]?.why).toStartWith("disconnected");
  });

  test("a revision that has not come is waited for", async () => {
    const { revision } = await askStatus(mesh.ada);
    const waiting = askWait(mesh.ada, { revision: revision + 1, timeoutMs: 20_000 });
    await apply("orders");
    expect(await waiting).toMatchObject({ applied: true });
    const never = await askWait(mesh.ada, { revision: 1_000_000, timeoutMs: 50 });
    expect(never.applied).toBe(false);
    expect(never.lagging[0]?.why).toContain("are not published yet");
  });

  test("a new replica does not take for converged what it has not heard of", async () => {
    const first = await apply("orders");
    const orders = await Instance.connect("orders", "orders-1");
    orders.say({ revision: first });
    await eventually(async () => expect((await askStatus(mesh.ada)).instances).toHaveLength(1));
    await replica.settled();
    await replica.stop();
    replica = await mesh.startReplica();
    const early = await askWait(mesh.ada, { revision: first, timeoutMs: 100 });
    expect(early.applied).toBe(false);
    expect(early.lagging[0]?.why).toContain("has not been heard since");
    const waiting = askWait(mesh.ada, { revision: first, timeoutMs: 20_000 });
    orders.say({ revision: first });
    expect(await waiting).toMatchObject({ applied: true, lagging: [] });
  });
});

test("events are counted by type, and health is told", async () => {
  await apply("orders", "web");
  expect(await metrics()).toContain('heddle_events_total{type="ServiceDeclared"} 2');
  const health = await fetch(`${replica.url}/healthz`);
  expect([health.status, await health.text()]).toEqual([200, "ok\n"]);
  expect((await fetch(`${replica.url}/`)).status).toBe(404);
});
