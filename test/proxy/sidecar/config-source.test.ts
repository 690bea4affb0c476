/** What a sidecar believes of its control plane's copy, and when it says that the copy is the one in force. */

import { afterEach, expect, test } from "bun:test";
import { subjects } from "../../../src/nats/subjects.ts";
import type { ServiceSnapshot } from "../../../src/projections/snapshot.ts";
import { ConfigSource } from "../../../src/proxy/sidecar/config-source.ts";
import { MemoryBroker } from "../../support/memory-bus.ts";
import { eventually } from "../../support/mesh.ts";
import { routeRule, snapshot, upstream } from "../fixture.ts";

const open: ConfigSource[] = [];
afterEach(() => {
  for (const source of open.splice(0)) source.stop();
});

interface Followed {
  readonly events: string[];
  /** Stores a snapshot, or something else, and has it compared, as happens after a reconnection. */
  store(value: unknown): Promise<void>;
  /** Publishes a snapshot, as control does at a change. */
  push(value: unknown): void;
  reconnect(): void;
}

/** Follows `shop/web`, whose snapshot of `revision` is in force (0: none); those in `unenforceable` are refused. */
async function follow(revision = 0, unenforceable: readonly number[] = []): Promise<Followed> {
  const bus = new MemoryBroker().connect();
  const config = bus.bucket("config");
  const events: string[] = [];
  const onSnapshot = (given: ServiceSnapshot): boolean => {
    const enforced = !unenforceable.includes(given.revision);
    events.push(`${enforced ? "enforced" : "refused"} ${given.revision}`);
    return enforced;
  };
  const endpoints = bus.bucket("endpoints");
  const options = { namespace: "shop", service: "web", bus, config, endpoints, random: () => 0, onSnapshot };
  const source = new ConfigSource(
    {
      ...options,
      onEndpoints: () => {},
      onConfirmed: () => void events.push("confirmed"),
      onRejected: (what, reason) => void events.push(`${what}: ${reason}`),
      onSnapshotRejected: (revision, reason) => void events.push(`rejected ${revision}: ${reason}`),
    },
    revision,
  );
  open.push(source);
  const reconnect = (): void => {
    bus.disconnect();
    bus.reconnect();
  };
  return {
    events,
    reconnect,
    push: (value) => bus.publish(subjects.config("shop", "web"), Buffer.from(JSON.stringify(value))),
    async store(value) {
      await config.put("shop.web", Buffer.from(JSON.stringify(value)));
      reconnect();
    },
  };
}

test("a snapshot is enforced once, and confirmed at every comparison from then on", async () => {
  const { events, store, reconnect } = await follow();
  await store(snapshot({ revision: 5 }));
  await eventually(() => expect(events).toEqual(["enforced 5", "confirmed"]));
  reconnect();
  await eventually(() => expect(events).toEqual(["enforced 5", "confirmed", "confirmed"]));
});

test("one that is older than what is in force changes nothing, and confirms it", async () => {
  const { events, store } = await follow(7);
  await store(snapshot({ revision: 6 }));
  await eventually(() => expect(events).toEqual(["confirmed"]));
});

test("while a newer one is refused, what is in force is not confirmed; the next good one is", async () => {
  const { events, store, reconnect } = await follow(5, [6]);
  await store(snapshot({ revision: 6 }));
  await eventually(() => expect(events).toEqual(["refused 6"]));
  reconnect();
  await store(snapshot({ revision: 7 }));
  await eventually(() => expect(events).toEqual(["refused 6", "enforced 7", "confirmed"]));
});

test("nor while the copy is of another service, cannot be understood, or is not there", async () => {
  const { events, store, reconnect } = await follow(5);
  reconnect();
  await store(snapshot({ revision: 6, name: "payment" }));
  await eventually(() => expect(events).toEqual(["snapshot: it is one of shop/payment"]));
  await store({ revision: 7 });
  await eventually(() => expect(events).toHaveLength(2));
  expect(events.join()).not.toContain("confirmed");
});

test("our own newer snapshot with what this version does not know is named with its revision, and never enforced", async () => {
  const { events, store, reconnect } = await follow(5);
  const unread = "this version does not understand it:";
  await store({ ...snapshot({ revision: 6 }), quarantine: true });
  await eventually(() => expect(events).toEqual([`rejected 6: ${unread} Unrecognized key: "quarantine"`]));
  reconnect();
  await store({ ...snapshot({ revision: 7 }), inbound: { ...snapshot().inbound, quarantine: true } });
  await eventually(() => expect(events[1]).toBe(`rejected 7: ${unread} inbound: Unrecognized key: "quarantine"`));
  // The same revision by a replica of our own version.
  await store(snapshot({ revision: 7 }));
  await eventually(() => expect(events.slice(2)).toEqual(["enforced 7", "confirmed"]));
  await store({ ...snapshot({ revision: 7 }), quarantine: true });
  await eventually(() => expect(events.slice(4)).toEqual(["confirmed"]));
});

test("a large one is read while others have their turn, and the next one waits for it", async () => {
  const { events, push } = await follow();
  const rules = Array.from({ length: 10 }, (_, rule) => routeRule({}, rule));
  const names = Array.from({ length: 3_000 }, (_, at) => `s-${at}`);
  const upstreams = Object.fromEntries(
    names.map((name) => [`shop/${name}`, upstream("shop", name, { routes: rules })]),
  );
  let turns = 0;
  const turn = (): void => {
    turns++;
    if (events.length === 0) setImmediate(turn);
  };
  push(snapshot({ revision: 5, upstreams }));
  turn();
  push(snapshot({ revision: 6 }));
  await eventually(() => expect(events).toEqual(["enforced 5", "enforced 6"]));
  // Some two hundred milliseconds of work, a millisecond at a time; of a machine that is ten times as fast, still twenty.
  expect(turns).toBeGreaterThan(10);
});
