import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { evolve, fold, foldAll, foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState, type Origin } from "../../src/events/state.ts";
import type { AccessRule, RouteRule } from "../../src/policy/schema.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";
import { changeAfter } from "./scenario.ts";

const at = (revision: number): Origin => ({ revision, actor: "alice", time: "2026-01-02T03:04:05.000Z" });
const target = { namespace: "shop", name: "catalog" } as const;
const rule = { ...target, service: "catalog", rule: 1 } as const;
const policy = { namespace: "shop", name: "front", service: "catalog" } as const;
const ports = [{ port: 8080, protocol: "http" as const }];

/** Each event at its own revision, from 1. */
function after(...events: DomainEvent[]): MeshState {
  return events.reduce((state, event, index) => evolve(state, event, at(index + 1)), INITIAL_STATE);
}

const shop = (state: MeshState) => state.namespaces.get("shop");
const routeRules = (state: MeshState) => shop(state)?.routes.get("catalog")?.rules ?? [];
const accessRules = (state: MeshState) => shop(state)?.accessPolicies.get("front")?.rules ?? [];
const defined = (...rules: RouteRule[]): DomainEvent => ({
  type: "RouteDefined",
  ...target,
  spec: { service: "catalog", rules },
});
const byRevision = (list: readonly { origin: Origin }[]) => list.map(({ origin }) => origin.revision);

const first: RouteRule = { timeout: "1s" };
const second: RouteRule = {
  backends: [
    { subset: "v1", weight: 90 },
    { subset: "constructor", weight: 10 },
  ],
};

describe("origins of route rules", () => {
  test("a rule repeated to the letter keeps its origin, wherever it stands", () => {
    expect(byRevision(routeRules(after(defined(first, second), defined(second, {}, first))))).toEqual([1, 2, 1]);
  });

  test("a rule that stands twice is only kept as often as it stood before", () => {
    expect(byRevision(routeRules(after(defined(first), defined(first, first))))).toEqual([1, 2]);
  });

  test("rules of a route that turns to another service are new", () => {
    const turned: DomainEvent = { type: "RouteDefined", ...target, spec: { service: "web", rules: [first] } };
    expect(byRevision(routeRules(after(defined(first), turned)))).toEqual([2]);
  });

  test("a narrow event sets the origin of its rule and of the document, and of nothing else", () => {
    const narrow: DomainEvent[] = [
      { type: "TrafficShifted", ...rule, from: {}, to: { v1: 50 } },
      { type: "RouteTimeoutSet", ...rule, to: "2s" },
      { type: "RouteRetriesSet", ...rule, to: { attempts: 1 } },
    ];
    for (const event of narrow) {
      const state = after(defined(first, second), event);
      expect(byRevision(routeRules(state))).toEqual([1, 2]);
      expect(shop(state)?.routes.get("catalog")?.origin.revision).toBe(2);
    }
  });
});

describe("route rules", () => {
  test("take the weights that an event names, by own names only", () => {
    const state = after(defined(first, second), {
      type: "TrafficShifted",
      ...rule,
      from: { v1: 90, constructor: 10 },
      to: { v1: 50 },
    });
    expect(routeRules(state)[1]?.value).toEqual({
      backends: [
        { subset: "v1", weight: 50 },
        { subset: "constructor", weight: 10 },
      ],
    });
  });

  test("gain and lose timeout and retries", () => {
    const gained = after(
      defined(first, second),
      { type: "RouteTimeoutSet", ...rule, to: "2s" },
      { type: "RouteRetriesSet", ...rule, to: { attempts: 1 } },
    );
    expect(routeRules(gained)[1]?.value).toEqual({ ...second, timeout: "2s", retries: { attempts: 1 } });
    const lost = evolve(gained, { type: "RouteTimeoutSet", ...rule, from: "2s" }, at(4));
    expect(Object.keys(routeRules(lost)[1]?.value ?? {}).sort()).toEqual(["backends", "retries"]);
  });

  test("of a route or at an index that is not there stay as they are", () => {
    const state = after(defined(first));
    const shift: DomainEvent = { type: "TrafficShifted", ...rule, from: {}, to: { v1: 1 } };
    expect(evolve(state, shift, at(2))).toBe(state);
    expect(evolve(INITIAL_STATE, shift, at(2))).toBe(INITIAL_STATE);
  });
});

describe("access rules", () => {
  const allow = (who: string): AccessRule => ({ allow: { from: [who] } });
  const granted = (index: number, who: string): DomainEvent => ({
    type: "AccessGranted",
    ...policy,
    index,
    rule: allow(who),
  });

  test("enter and leave at their index, and keep their own origin", () => {
    const state = after(
      { type: "AccessPolicyDeclared", ...policy },
      granted(0, "shop/a"),
      granted(0, "shop/b"),
      { type: "AccessForbidden", ...policy, index: 1, rule: { deny: {} } },
      { type: "AccessRevoked", ...policy, index: 0, rule: allow("shop/b") },
    );
    expect(accessRules(state).map(({ value }) => value)).toEqual([{ deny: {} }, allow("shop/a")]);
    expect(byRevision(accessRules(state))).toEqual([4, 2]);
    expect(shop(state)?.accessPolicies.get("front")?.origin.revision).toBe(5);
  });
});

describe("roots", () => {
  test("one signs at a time; the one before stays trusted until it is retired", () => {
    const state = after(
      { type: "RootAdded", fingerprint: "a", pem: "A" },
      { type: "RootActivated", fingerprint: "a" },
      { type: "RootAdded", fingerprint: "b", pem: "B" },
      { type: "RootActivated", fingerprint: "b" },
    );
    const status = (of: MeshState) => Array.from(of.roots.values(), (root) => `${root.fingerprint} ${root.status}`);
    expect(status(state)).toEqual(["a added", "b active"]);
    expect(status(evolve(state, { type: "RootRetired", fingerprint: "a" }, at(5)))).toEqual(["a retired", "b active"]);
    expect(evolve(state, { type: "RootActivated", fingerprint: "c" }, at(5)).roots).toBe(state.roots);
  });
});

describe("states", () => {
  test("are shared where nothing changed, and never changed in place", () => {
    const before = after(
      { type: "ServiceDeclared", ...target, spec: { ports } },
      { type: "ServiceDeclared", namespace: "bank", name: "teller", spec: { ports } },
    );
    const next = evolve(before, { type: "SubsetsDefined", ...target, to: { v1: { version: "v1" } } }, at(3));
    expect(shop(before)?.services.get("catalog")?.value).toEqual({ ports });
    expect(shop(next)?.services.get("catalog")?.value.subsets).toEqual({ v1: { version: "v1" } });
    expect<unknown>(next.namespaces.get("bank")).toBe(before.namespaces.get("bank"));
    expect<unknown>(shop(next)?.routes).toBe(shop(before)?.routes);
  });

  test("are the same by a fold that keeps those in between and by one that does not, and its beginning stays", () => {
    fc.assert(
      fc.property(steps, steps, (first, second) => {
        let kept = INITIAL_STATE;
        const changes = eventsOfSteps(INITIAL_STATE, [...first, ...second]).map((event) => {
          const change = changeAfter(kept, "namespace" in event ? event.namespace : "_mesh", [event]);
          kept = foldChange(kept, change);
          return change;
        });
        const half = Math.floor(changes.length / 2);
        const start = foldAll(changes.slice(0, half));
        const copy = structuredClone(start);
        expect(foldAll(changes.slice(half), start)).toEqual(kept);
        expect(start).toEqual(copy);
      }),
      { numRuns: 100 },
    );
  });

  test("carry the revision of the mesh, and of each namespace its own", async () => {
    const shopChange = changeAfter(INITIAL_STATE, "shop", [{ type: "ServiceDeclared", ...target, spec: { ports } }]);
    const one = foldChange(INITIAL_STATE, shopChange);
    const root: DomainEvent = { type: "RootAdded", fingerprint: "a", pem: "A" };
    const meshChange = changeAfter(one, "_mesh", [root], { actor: "bob" });
    const two = foldChange(one, meshChange);
    expect(two.revision).toBe(2);
    expect(two.namespaces.get("shop")?.revision).toBe(1);
    expect(two.namespaces.get("_mesh")?.revision).toBe(2);
    expect(shop(two)?.services.get("catalog")?.origin).toEqual(at(1));
    expect(await fold(INITIAL_STATE, [shopChange, meshChange])).toEqual(two);
    expect(foldAll([shopChange, meshChange])).toEqual(two);
  });
});
