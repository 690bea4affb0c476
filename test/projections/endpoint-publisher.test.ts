import { afterEach, expect, test } from "bun:test";
import { subjects } from "../../src/nats/subjects.ts";
import { EndpointPublisher } from "../../src/projections/endpoint-publisher.ts";
import { type EndpointSet, endpointSet, type InstanceStatus } from "../../src/projections/snapshot.ts";
import { MemoryBroker, type MemoryBus } from "../support/memory-bus.ts";
import { eventually } from "../support/mesh.ts";

const BUCKET = "endpoints";
const TTL_MS = 15_000;

class Replica {
  readonly bus: MemoryBus;
  readonly publisher: EndpointPublisher;
  readonly warnings: string[] = [];
  readonly heard: string[] = [];

  constructor(
    readonly broker: MemoryBroker,
    public nowMs = 1_000_000,
  ) {
    this.bus = broker.connect();
    this.publisher = new EndpointPublisher({
      bus: this.bus,
      bucket: this.bus.bucket(BUCKET),
      now: () => this.nowMs,
      ttlMs: TTL_MS,
      warn: (message) => void this.warnings.push(message),
      onStatus: ({ instance }) => void this.heard.push(instance),
      random: () => 0,
    });
    replicas.push(this);
  }

  /** Lets time pass in steps that a timer would look at. */
  async pass(durationMs: number): Promise<void> {
    for (let left = durationMs; left > 0; left -= 1_000) {
      this.nowMs += 1_000;
      this.publisher.expire();
      // What was sent by one look is back by the next one.
      if (this.bus.connected) await this.bus.flush();
    }
    await this.publisher.settled();
  }

  set(): EndpointSet | undefined {
    const entry = this.broker.content(BUCKET).entries.get("shop.orders");
    return entry && endpointSet.parse(JSON.parse(new TextDecoder().decode(entry.value)));
  }

  names(): string[] {
    return this.set()?.endpoints.map(({ instance }) => instance) ?? [];
  }
}

const replicas: Replica[] = [];
afterEach(async () => {
  for (const replica of replicas.splice(0)) await replica.publisher.stop();
});

function status(instance: string, state: InstanceStatus["state"] = "ready", namespace = "shop"): InstanceStatus {
  return {
    instance,
    namespace,
    service: "orders",
    state,
    host: "10.0.0.1",
    port: 15006,
    labels: {},
    revision: 1,
    startedAt: "2026-01-01T00:00:00Z",
    version: "0.1.0",
  };
}

/** A sidecar says something, and everybody who listens has done what follows from it. */
async function say(broker: MemoryBroker, ...statuses: InstanceStatus[]): Promise<void> {
  const sidecar = broker.connect();
  for (const one of statuses) {
    const subject = subjects.status(one.namespace, one.service, one.instance);
    sidecar.publish(subject, new TextEncoder().encode(JSON.stringify(one)));
  }
  await sidecar.close();
  for (const { publisher } of replicas) await publisher.settled();
}

test("endpoints are stored, then pushed with the same bytes; heartbeats without news are not", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  const pushed: EndpointSet[] = [];
  broker.connect().subscribe("heddle.endpoints.*.*", ({ subject, data }) => {
    expect(subject).toBe("heddle.endpoints.shop.orders");
    expect(broker.content(BUCKET).entries.get("shop.orders")?.value).toEqual(data);
    pushed.push(endpointSet.parse(JSON.parse(new TextDecoder().decode(data))));
  });
  await say(broker, status("a"), status("b", "starting"));
  await say(broker, status("a"), status("b"));
  await say(broker, status("a"), status("b"));
  await replica.bus.flush();
  expect(pushed.map(({ endpoints }) => endpoints.map(({ instance }) => instance))).toEqual([["a"], ["a", "b"]]);
  expect(pushed[1]?.version).toBeGreaterThan(pushed[0]?.version ?? 0);
  expect(replica.heard).toEqual(["a", "b", "a", "b", "a", "b"]);
});

test("a heartbeat of a later version is heard, and what it has beside ours goes no further", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  const later = { ...status("a"), zone: { id: 1 }, rejected: { revision: 2, reason: "no", code: 7 } };
  await say(broker, later);
  expect(replica.names()).toEqual(["a"]);
  expect(replica.publisher.registry.statusesOf("shop/orders")).toEqual([
    { ...status("a"), rejected: { revision: 2, reason: "no" } },
  ]);
});

test("a stored set of a later version is read, and not replaced where its instances are ours", async () => {
  const broker = new MemoryBroker();
  const endpoint = { instance: "a", host: "10.0.0.1", port: 15006, labels: {}, zone: "b" };
  const later = { namespace: "shop", name: "orders", version: 5, endpoints: [endpoint], sum: "x" };
  const bytes = Buffer.from(JSON.stringify(later));
  await broker.connect().bucket(BUCKET).put("shop.orders", bytes);
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"));
  expect(Buffer.from(broker.content(BUCKET).entries.get("shop.orders")?.value ?? "")).toEqual(bytes);
});

test("silence takes an instance out; so does its last word, at once", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"), status("b"), status("c"));
  await say(broker, status("c", "draining"));
  expect(replica.names()).toEqual(["a", "b"]);
  await replica.pass(10_000);
  await say(broker, status("b"));
  await replica.pass(10_000);
  expect(replica.names()).toEqual(["b"]);
  await replica.pass(10_000);
  expect(replica.set()?.endpoints).toEqual([]);
});

test("an outage of the broker expires nobody", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"));
  replica.bus.disconnect();
  await replica.pass(60_000);
  replica.bus.reconnect();
  await replica.pass(10_000);
  expect(replica.names()).toEqual(["a"]);
  await replica.pass(10_000);
  expect(replica.names()).toEqual([]);
});

test("a server that hangs while its connection stands expires nobody, also when it goes on", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"));
  const goesOn = Promise.withResolvers<void>();
  const { flush } = replica.bus;
  replica.bus.flush = () => goesOn.promise;
  for (let look = 0; look < 60; look++) {
    replica.nowMs += 1_000;
    replica.publisher.expire();
  }
  goesOn.resolve();
  replica.bus.flush = flush.bind(replica.bus);
  await replica.pass(10_000);
  expect(replica.names()).toEqual(["a"]);
  await replica.pass(10_000);
  expect(replica.names()).toEqual([]);
});

test("a replica that was suspended blames nobody for what it did not hear", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"));
  replica.nowMs += 3_600_000;
  replica.publisher.expire();
  await replica.pass(10_000);
  expect(replica.names()).toEqual(["a"]);
});

test("a restarted replica knows what the one before it knew, until the sidecars have had time to speak", async () => {
  const broker = new MemoryBroker();
  const first = new Replica(broker);
  await first.publisher.start();
  await say(broker, status("a"), status("b"));
  const version = first.set()?.version ?? 0;
  await first.publisher.stop();

  const second = new Replica(broker, first.nowMs + 1_000);
  await second.publisher.start();
  await second.publisher.settled();
  await second.pass(10_000);
  expect(second.set()?.version).toBe(version);
  await say(broker, status("b"));
  expect(second.names()).toEqual(["a", "b"]);
  await second.pass(10_000);
  expect(second.names()).toEqual(["b"]);
  expect(second.set()?.version).toBeGreaterThan(version);
});

test("a replica that was away takes out nobody who came meanwhile", async () => {
  const broker = new MemoryBroker();
  const [there, away] = [new Replica(broker), new Replica(broker)];
  await there.publisher.start();
  await away.publisher.start();
  away.bus.disconnect();
  await say(broker, status("a"));
  away.bus.reconnect();
  await away.publisher.reconcile();
  await away.publisher.settled();
  expect(there.names()).toEqual(["a"]);
  await say(broker, status("b"));
  expect(there.names()).toEqual(["a", "b"]);
});

test("versions grow even if the bucket is lost", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  await say(broker, status("a"));
  const version = replica.set()?.version ?? 0;
  broker.content(BUCKET).entries.clear();
  await replica.pass(1_000);
  await replica.publisher.reconcile();
  await replica.publisher.settled();
  expect(replica.names()).toEqual(["a"]);
  expect(replica.set()?.version).toBeGreaterThan(version);
});

test("replicas that hear the same write it once, whoever is first", async () => {
  const broker = new MemoryBroker();
  const racing = [new Replica(broker), new Replica(broker), new Replica(broker)];
  for (const { publisher } of racing) await publisher.start();
  for (let index = 0; index < 10; index++) await say(broker, status(`i${index}`));
  const versions = broker.content(BUCKET).history.map(({ value }) => {
    return endpointSet.parse(JSON.parse(new TextDecoder().decode(value))).version;
  });
  expect(versions).toHaveLength(10);
  expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
  expect(racing[0]?.names()).toHaveLength(10);
});

test("who speaks under another's name, or nonsense, is not heard and complained of once", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  const sidecar = broker.connect();
  const forged = new TextEncoder().encode(JSON.stringify(status("a", "ready", "bank")));
  for (let index = 0; index < 3; index++) {
    sidecar.publish(subjects.status("shop", "orders", "a"), forged);
    sidecar.publish(subjects.status("shop", "orders", "b"), new TextEncoder().encode("{"));
  }
  await sidecar.close();
  await replica.publisher.settled();
  expect(replica.heard).toEqual([]);
  expect([...replica.publisher.registry.services()]).toEqual([]);
  expect(replica.warnings).toEqual([
    "a status on heddle.status.shop.orders.a was not understood",
    "a status on heddle.status.shop.orders.b was not understood",
  ]);
});

test("a stored set that cannot be read is replaced when there is something to say", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.bus.bucket(BUCKET).put("shop.orders", new TextEncoder().encode("{"));
  await replica.publisher.start();
  await say(broker, status("a"));
  expect(replica.names()).toEqual(["a"]);
  expect(replica.warnings.join("\n")).toContain("shop.orders cannot be read");
});

test("of two sidecars with one name one is heard, and the other is named to whoever runs the mesh", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  const [first, second] = [status("a"), { ...status("a"), host: "10.0.0.2", startedAt: "2026-01-02T00:00:00Z" }];
  await say(broker, first, second, first, second, second);
  expect(replica.set()?.endpoints.map(({ host }) => host)).toEqual(["10.0.0.1"]);
  expect(replica.heard).toHaveLength(3);
  expect(replica.warnings).toEqual([
    "several sidecars of shop/orders go by the name a; callers are not sent to 10.0.0.2:15006: start it with another --instance",
  ]);
});

test("a service whose instances come and go without end is written now and then, others at once", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  await replica.publisher.start();
  for (let at = 0; at < 80; at++) await say(broker, status("a", at % 2 === 0 ? "ready" : "draining"));
  const { history } = replica.bus.bucket(BUCKET);
  expect(history.filter(({ key }) => key === "shop.orders").length).toBeLessThan(60);
  await say(broker, status("b", "ready", "bank"));
  expect(history.at(-1)?.key).toBe("bank.orders");
  // What is in force in the end is what was said last.
  replica.nowMs += 1_000;
  await say(broker, status("last"));
  await eventually(() => expect(replica.names()).toEqual(["last"]));
});
