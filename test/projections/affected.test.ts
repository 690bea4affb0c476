import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import type { MeshState } from "../../src/events/state.ts";
import { parseServiceRef, type ServiceRef } from "../../src/policy/names.ts";
import { affectedServices } from "../../src/projections/affected.ts";
import { declaredServices } from "../../src/projections/call-graph.ts";
import { compileSnapshot, snapshotDigest } from "../../src/projections/compile-snapshot.ts";
import { TestLedger } from "../support/ledger.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

function digestOf(state: MeshState, ref: ServiceRef): string | undefined {
  const service = parseServiceRef(ref);
  const snapshot = service && compileSnapshot(state, service);
  return snapshot && snapshotDigest(snapshot);
}

function declare(ref: string): DomainEvent {
  const [namespace = "", name = ""] = ref.split("/");
  return { type: "ServiceDeclared", namespace, name, spec: { ports: [{ port: 80, protocol: "http" }] } };
}

/** shop: web may call orders, orders may call payment; admin may be called by all of its namespace; bank: one. */
function shop(): TestLedger {
  const ledger = new TestLedger();
  const grant = (name: string, from?: string[]): DomainEvent[] => [
    { type: "AccessPolicyDeclared", namespace: "shop", name, service: name },
    { type: "AccessGranted", namespace: "shop", name, service: name, index: 0, rule: { allow: from ? { from } : {} } },
  ];
  ledger.record("shop", ["shop/web", "shop/orders", "shop/payment", "shop/admin"].map(declare));
  ledger.record("bank", [declare("bank/ledger")]);
  const granted = [
    ...grant("orders", ["shop/web"]),
    ...grant("payment", ["shop/orders"]),
    ...grant("admin", ["shop/*"]),
  ];
  ledger.record("shop", granted);
  return ledger;
}

describe("an event touches", () => {
  const at = { namespace: "shop", name: "orders" };
  const routed = { namespace: "shop", name: "r", service: "orders" };
  const cases: [DomainEvent, string[] | "all"][] = [
    [{ type: "RouteDefined", namespace: "shop", name: "r", spec: { service: "orders", rules: [{}] } }, ["shop/web"]],
    [{ type: "TrafficShifted", ...routed, rule: 0, from: {}, to: { v1: 1 } }, ["shop/web"]],
    [{ type: "SubsetsDefined", ...at, to: { v1: {} } }, ["shop/orders", "shop/web"]],
    [
      { type: "AccessGranted", ...at, service: "orders", index: 1, rule: { allow: { from: ["bank/*"] } } },
      ["bank/ledger", "shop/orders"],
    ],
    [{ type: "AccessForbidden", ...at, service: "orders", index: 1, rule: { deny: {} } }, ["shop/orders"]],
    [{ type: "AccessPolicyRemoved", ...at, service: "orders" }, ["shop/orders", "shop/web"]],
    [declare("bank/vault"), ["bank/ledger", "bank/vault"]],
    [{ type: "ServiceRemoved", ...at }, ["shop/admin", "shop/orders", "shop/payment", "shop/web"]],
    [{ type: "OperatorAdded", name: "bob", publicKey: "U", role: "viewer", namespaces: [] }, []],
    [{ type: "OperatorRevoked", name: "bob", publicKey: "U" }, []],
    [{ type: "TokenCreated", namespace: "shop", service: "orders", publicKey: "U" }, []],
    [{ type: "RootAdded", fingerprint: "aa", pem: "PEM" }, "all"],
    [{ type: "AccessDefaultSet", from: "deny", to: "allow" }, "all"],
  ];
  for (const [event, expected] of cases) {
    test(`${event.type}: ${expected === "all" ? expected : expected.join(" ")}`, () => {
      const ledger = shop();
      const before = ledger.state;
      const change = ledger.record("namespace" in event ? event.namespace : "_mesh", [event]);
      const affected = affectedServices(before, ledger.state, change);
      expect<string[] | "all">(affected === "all" ? affected : [...affected].sort()).toEqual(expected);
    });
  }
});

test("a route that turns to another service touches the callers of both", () => {
  const ledger = shop();
  const define = (service: string): DomainEvent => {
    return { type: "RouteDefined", namespace: "shop", name: "r", spec: { service, rules: [{}] } };
  };
  ledger.record("shop", [define("orders")]);
  const before = ledger.state;
  const change = ledger.record("shop", [define("payment")]);
  expect(affectedServices(before, ledger.state, change)).toEqual(new Set(["shop/web", "shop/orders"]));
});

test("whoever is not touched by a change has the same snapshot before and after it", () => {
  let spared = 0;
  let differed = 0;
  const property = fc.property(fc.array(steps, { minLength: 1, maxLength: 30, size: "max" }), (history) => {
    const ledger = new TestLedger();
    for (const list of history) {
      const before = ledger.state;
      const events = eventsOfSteps(before, list);
      if (events.length === 0) continue;
      const change = ledger.record(list[0]?.namespace ?? "shop", events);
      const affected = affectedServices(before, ledger.state, change);
      if (affected === "all") continue;
      for (const ref of declaredServices(before).union(declaredServices(ledger.state))) {
        const same = digestOf(before, ref) === digestOf(ledger.state, ref);
        if (!affected.has(ref) && !same) throw new Error(`${ref} was left out of ${JSON.stringify(events)}`);
        if (!affected.has(ref)) spared += 1;
        if (!same) differed += 1;
      }
    }
  });
  fc.assert(property, { numRuns: 300 });
  // The property says something only if there was something to say it of.
  expect(spared).toBeGreaterThan(1_000);
  expect(differed).toBeGreaterThan(1_000);
}, 20_000);

test("one shift of traffic costs its callers, not the mesh", () => {
  const touched = [50, 500].map((services) => {
    const ledger = new TestLedger();
    const names = Array.from({ length: services }, (_, index) => `s${index}`);
    ledger.record(
      "shop",
      names.map((name) => declare(`shop/${name}`)),
    );
    ledger.record("shop", [
      { type: "AccessPolicyDeclared", namespace: "shop", name: "p", service: "s0" },
      {
        type: "AccessGranted",
        namespace: "shop",
        name: "p",
        service: "s0",
        index: 0,
        rule: { allow: { from: ["shop/s1", "shop/s2"] } },
      },
      {
        type: "RouteDefined",
        namespace: "shop",
        name: "r",
        spec: { service: "s0", rules: [{ backends: [{ subset: "v1", weight: 1 }] }] },
      },
    ]);
    const before = ledger.state;
    const shift = { namespace: "shop", name: "r", service: "s0", rule: 0, from: { v1: 1 }, to: { v1: 2 } };
    const change = ledger.record("shop", [{ type: "TrafficShifted", ...shift }]);
    return affectedServices(before, ledger.state, change);
  });
  expect(touched).toEqual([new Set(["shop/s1", "shop/s2"]), new Set(["shop/s1", "shop/s2"])]);
});

test("a change that declares many services goes over their neighbours once, not once for each", () => {
  const ledger = new TestLedger();
  const before = ledger.state;
  const names = Array.from({ length: 300 }, (_, index) => `s${index}`);
  const change = ledger.record(
    "shop",
    names.map((name) => declare(`shop/${name}`)),
  );
  const shop = ledger.state.namespaces.get("shop");
  if (shop === undefined) throw new Error("nothing was declared");
  let looks = 0;
  class Counted<K, V> extends Map<K, V> {
    override keys(): MapIterator<K> {
      looks += 1;
      return super.keys();
    }
  }
  const counted = { ...shop, services: new Counted(shop.services) };
  const after = { ...ledger.state, namespaces: new Map([["shop", counted]]) };
  expect(affectedServices(before, after, change)).toEqual(new Set(names.map((name): ServiceRef => `shop/${name}`)));
  expect(looks).toBe(1);
});
