import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import type { RecordedChange } from "../../src/events/change.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { compileSnapshot, snapshotDigest } from "../../src/projections/compile-snapshot.ts";
import { type ServiceSnapshot, serviceSnapshot } from "../../src/projections/snapshot.ts";
import { SnapshotPublisher } from "../../src/projections/snapshot-store.ts";
import { TestLedger } from "../support/ledger.ts";
import { MemoryBroker, type MemoryBucket, type MemoryBus } from "../support/memory-bus.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

const BUCKET = "config";

/** One control replica: a state that follows the ledger as fast as the test lets it, and its publisher. */
class Replica {
  readonly bus: MemoryBus;
  readonly bucket: MemoryBucket;
  readonly publisher: SnapshotPublisher;
  readonly warnings: string[] = [];
  state: MeshState = INITIAL_STATE;

  constructor(broker: MemoryBroker) {
    this.bus = broker.connect();
    this.bucket = this.bus.bucket(BUCKET);
    const { bus, bucket } = this;
    this.publisher = new SnapshotPublisher({
      bus,
      bucket,
      warn: (message) => void this.warnings.push(message),
      random: () => 0,
    });
    replicas.push(this);
  }

  take(...changes: RecordedChange[]): void {
    for (const change of changes) {
      const before = this.state;
      this.state = foldChange(before, change);
      this.publisher.changed(before, this.state, change);
    }
  }

  async start(): Promise<void> {
    await this.publisher.start(this.state);
    await this.publisher.settled();
  }
}

const replicas: Replica[] = [];
afterEach(async () => {
  for (const replica of replicas.splice(0)) await replica.publisher.stop();
});

function read(value: Uint8Array): ServiceSnapshot {
  return serviceSnapshot.parse(JSON.parse(new TextDecoder().decode(value)));
}

async function stored(replica: Replica, key: string): Promise<ServiceSnapshot | undefined> {
  const entry = await replica.bucket.get(key);
  return entry && read(entry.value);
}

function declare(name: string): DomainEvent {
  return { type: "ServiceDeclared", namespace: "shop", name, spec: { ports: [{ port: 80, protocol: "http" }] } };
}

/** Changes that touch these services and leave them as they are. */
function unchanged(...names: string[]): DomainEvent[] {
  const to = [{ port: 80, protocol: "http" as const }];
  return names.map((name) => ({ type: "ServicePortsSet", namespace: "shop", name, from: to, to }));
}

/** shop: web may call orders. */
function shop(): TestLedger {
  const ledger = new TestLedger();
  const policy = { namespace: "shop", name: "p", service: "orders" };
  ledger.record("shop", [
    declare("web"),
    declare("orders"),
    { type: "AccessPolicyDeclared", ...policy },
    { type: "AccessGranted", ...policy, index: 0, rule: { allow: { from: ["shop/web"] } } },
    { type: "RouteDefined", namespace: "shop", name: "r", spec: { service: "orders", rules: [{ timeout: "1s" }] } },
  ]);
  return ledger;
}

function timeout(to: string): DomainEvent[] {
  return [{ type: "RouteTimeoutSet", namespace: "shop", name: "r", service: "orders", rule: 0, to }];
}

test("at its start every declared service is stored, then pushed, with the same bytes", async () => {
  const broker = new MemoryBroker();
  const replica = new Replica(broker);
  replica.take(...shop().changes);
  const pushed: string[] = [];
  const sidecar = broker.connect();
  sidecar.subscribe("heddle.config.*.*", ({ subject, data }) => {
    pushed.push(subject);
    const key = subject.split(".").slice(2).join(".");
    expect(broker.content(BUCKET).entries.get(key)?.value).toEqual(data);
  });
  await replica.start();
  await replica.bus.flush();
  expect(pushed.sort()).toEqual(["heddle.config.shop.orders", "heddle.config.shop.web"]);
  expect(await stored(replica, "shop.web")).toEqual(compileSnapshot(replica.state, { namespace: "shop", name: "web" }));
  expect(replica.publisher.expectedRevision("shop/web")).toBe(1);
  expect(replica.publisher.publishedRevision).toBe(1);
});

test("a change writes whom it touches, if it changes anything for them", async () => {
  const ledger = shop();
  const replica = new Replica(new MemoryBroker());
  replica.take(...ledger.changes);
  await replica.start();
  replica.take(ledger.record("shop", timeout("2s")));
  await replica.publisher.settled();
  expect(replica.publisher.expectedRevision("shop/web")).toBe(2);
  expect(replica.publisher.expectedRevision("shop/orders")).toBe(1);

  const writes = replica.bucket.history.length;
  replica.take(ledger.record("shop", timeout("2s")), ledger.record("shop", unchanged("web", "orders")));
  await replica.publisher.settled();
  // Nothing that is enforced differs, so nobody is bothered; the mesh is published up to here all the same.
  expect(replica.bucket.history.slice(writes).map(({ key }) => key)).toEqual(["shop.web"]);
  expect(replica.publisher.publishedRevision).toBe(4);
});

test("many changes at once are few writes, and the last one wins", async () => {
  const ledger = shop();
  const replica = new Replica(new MemoryBroker());
  replica.take(...ledger.changes);
  await replica.start();
  const writes = replica.bucket.history.length;
  for (let seconds = 2; seconds <= 200; seconds++) replica.take(ledger.record("shop", timeout(`${seconds}s`)));
  await replica.publisher.settled();
  expect(replica.bucket.history.length - writes).toBe(1);
  expect((await stored(replica, "shop.web"))?.upstreams["shop/orders"]?.routes[0]?.timeoutMs).toBe(200_000);
  expect(replica.publisher.expectedRevision("shop/web")).toBe(200);
});

test("changes that come before the start are in it", async () => {
  const ledger = shop();
  const replica = new Replica(new MemoryBroker());
  replica.take(...ledger.changes);
  const old = replica.state;
  const starting = replica.publisher.start(old);
  replica.take(ledger.record("shop", timeout("9s")));
  await starting;
  await replica.publisher.settled();
  expect(replica.publisher.expectedRevision("shop/web")).toBe(2);
});

test("a removed service is closed, and a replica that lags behind cannot open it again", async () => {
  const broker = new MemoryBroker();
  const ledger = shop();
  const [early, late] = [new Replica(broker), new Replica(broker)];
  early.take(...ledger.changes);
  await early.start();
  const touched = ledger.record("shop", [
    { type: "ServicePortsSet", namespace: "shop", name: "orders", to: [{ port: 81, protocol: "http" }] },
  ]);
  const removed = ledger.record("shop", [{ type: "ServiceRemoved", namespace: "shop", name: "orders" }]);
  early.take(touched, removed);
  await early.publisher.settled();
  const closed = await stored(early, "shop.orders");
  expect(closed?.inbound).toEqual({ ports: [], accessDefault: "deny", access: [], rateLimits: [] });
  expect(closed?.revision).toBe(3);
  expect((await stored(early, "shop.web"))?.upstreams).toEqual({});

  late.take(...ledger.changes.slice(0, 2));
  await late.start();
  expect(await stored(late, "shop.orders")).toEqual(closed);
  late.take(removed);
  await late.publisher.settled();
  expect(await stored(late, "shop.orders")).toEqual(closed);

  early.take(ledger.record("shop", [declare("orders")]));
  await early.publisher.settled();
  expect((await stored(early, "shop.orders"))?.inbound.ports).toEqual([{ port: 80, protocol: "http" }]);
});

test("a restart writes nothing that is there already", async () => {
  const broker = new MemoryBroker();
  const ledger = shop();
  const first = new Replica(broker);
  first.take(...ledger.changes);
  await first.start();
  const writes = first.bucket.history.length;
  const second = new Replica(broker);
  second.take(...ledger.changes, ledger.record("shop", unchanged("web")));
  await second.start();
  expect(second.bucket.history.length).toBe(writes);
  expect(second.publisher.expectedRevision("shop/web")).toBe(1);
});

test("an entry that cannot be read is replaced; keys of others are left alone", async () => {
  const replica = new Replica(new MemoryBroker());
  replica.take(...shop().changes);
  await replica.bucket.put("shop.web", new TextEncoder().encode("{"));
  await replica.bucket.put("README", new TextEncoder().encode("not a service"));
  await replica.start();
  expect((await stored(replica, "shop.web"))?.revision).toBe(1);
  expect(new TextDecoder().decode((await replica.bucket.get("README"))?.value)).toBe("not a service");
  expect(replica.warnings.join("\n")).toContain("shop.web cannot be read");
});

test("when the acknowledgement is lost, the snapshot is pushed all the same", async () => {
  const broker = new MemoryBroker();
  const ledger = shop();
  const replica = new Replica(broker);
  replica.take(...ledger.changes);
  await replica.start();
  await replica.bus.flush();
  const pushed: number[] = [];
  broker.connect().subscribe("heddle.config.shop.web", ({ data }) => void pushed.push(read(data).revision));
  replica.bucket.acknowledgementsToLose = 1;
  replica.take(ledger.record("shop", timeout("3s")));
  await replica.publisher.settled();
  await replica.bus.flush();
  expect(pushed).toEqual([2]);
  expect(replica.publisher.expectedRevision("shop/web")).toBe(2);
});

test("without a connection nothing counts as published; with it, everything is made up for", async () => {
  const ledger = shop();
  const replica = new Replica(new MemoryBroker());
  replica.take(...ledger.changes);
  await replica.start();
  replica.bus.disconnect();
  replica.take(ledger.record("shop", timeout("3s")));
  while (replica.warnings.length === 0) await new Promise((resolve) => setImmediate(resolve));
  replica.take(ledger.record("shop", timeout("4s")));
  expect(replica.publisher.expectedRevision("shop/web")).toBe(1);
  expect(replica.publisher.publishedRevision).toBe(1);
  replica.bus.reconnect();
  await replica.publisher.settled();
  expect(replica.publisher.expectedRevision("shop/web")).toBe(3);
  expect(replica.publisher.publishedRevision).toBe(3);
});

test("what another replica left behind on its way is found and brought up to date", async () => {
  const broker = new MemoryBroker();
  const ledger = shop();
  const [whole, dying] = [new Replica(broker), new Replica(broker)];
  whole.take(...ledger.changes);
  dying.take(...ledger.changes);
  await whole.start();
  await dying.start();
  const balance = { type: "LoadBalancerSet", namespace: "shop", name: "orders" } as const;
  const away = ledger.record("shop", [{ ...balance, to: { algorithm: "random" } }]);
  const back = ledger.record("shop", [balance]);
  whole.take(away, back);
  await whole.publisher.settled();
  expect((await stored(whole, "shop.web"))?.revision).toBe(1);
  dying.take(away);
  await dying.publisher.settled();
  await dying.publisher.stop();
  expect((await stored(whole, "shop.web"))?.revision).toBe(2);

  await whole.publisher.reconcile();
  await whole.publisher.settled();
  expect((await stored(whole, "shop.web"))?.revision).toBe(3);
  expect((await stored(whole, "shop.web"))?.upstreams["shop/orders"]?.loadBalancer).toBe("peak-ewma");
});

test("whatever the pace of three replicas, no entry ever goes back, and all end at the newest policy", async () => {
  // How many changes each replica takes before the next pause.
  const pace = fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 12, size: "max" });
  const histories = fc.array(steps, { minLength: 3, maxLength: 15, size: "max" });
  const property = fc.asyncProperty(histories, pace, async (history, paces) => {
    const ledger = new TestLedger();
    for (const list of history) {
      const events = eventsOfSteps(ledger.state, list);
      if (events.length > 0) ledger.record(list[0]?.namespace ?? "shop", events);
    }
    const broker = new MemoryBroker();
    const racing = [new Replica(broker), new Replica(broker), new Replica(broker)];
    await Promise.all(racing.map((replica) => replica.publisher.start(replica.state)));
    for (const counts of paces) {
      for (const [index, replica] of racing.entries()) {
        const at = replica.state.revision;
        replica.take(...ledger.changes.slice(at, at + (counts[index] ?? 0)));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const replica of racing) replica.take(...ledger.changes.slice(replica.state.revision));
    for (const replica of racing) await replica.publisher.settled();
    for (const replica of racing) await replica.publisher.reconcile();
    for (const replica of racing) await replica.publisher.settled();
    checkBucket(broker, ledger.state);
    for (const replica of racing) await replica.publisher.stop();
  });
  await fc.assert(property, { numRuns: 60 });
}, 20_000);

function checkBucket(broker: MemoryBroker, state: MeshState): void {
  const last = new Map<string, number>();
  for (const { key, value } of broker.content(BUCKET).history) {
    const { revision } = read(value);
    expect(revision).toBeGreaterThan(last.get(key) ?? -1);
    last.set(key, revision);
  }
  for (const [namespace, { services }] of state.namespaces) {
    for (const name of services.keys()) {
      const snapshot = compileSnapshot(state, { namespace, name });
      const entry = broker.content(BUCKET).entries.get(`${namespace}.${name}`);
      if (snapshot === undefined || entry === undefined) throw new Error(`${namespace}/${name} is not published`);
      expect(snapshotDigest(read(entry.value))).toBe(snapshotDigest(snapshot));
    }
  }
}
