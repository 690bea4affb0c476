import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { sameSplit, splitTraffic } from "../../src/events/traffic-split.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { contents, decided, document, given, refused, service, types } from "./scenario.ts";

const catalog = service("shop/catalog", ["v1", "v2", "v3"]);
const target = { namespace: "shop", name: "catalog" };
const route = (...rules: object[]) => document("Route", "shop/catalog-route", { service: "catalog", rules });
const backends = (weights: Record<string, number>) => ({
  backends: Object.entries(weights).map(([subset, weight]) => ({ subset, weight })),
});
const beta = { match: [{ headers: { "x-user": { exact: "beta" } } }], ...backends({ v2: 1 }) };

function shifted(documents: PolicyDocument[], percent: Record<string, number>, rule?: number) {
  const body = { kind: "shift", service: target, percent, ...(rule === undefined ? {} : { rule }) } as const;
  return decided(given(catalog, ...documents), "shop", body);
}

/** Weights by subset of a rule in the route named. */
function weightsOf(state: ReturnType<typeof given>, name: string, rule: number): Record<string, number | undefined> {
  const found = contents(state)[`Route/shop/${name}`];
  if (found?.kind !== "Route") throw new Error(`no route ${name}`);
  const list = found.spec.rules[rule]?.backends ?? [];
  return Object.fromEntries(list.map(({ subset, weight }) => [subset ?? "", weight]));
}

describe("shift", () => {
  const rows: [string, Record<string, number>, Record<string, number>, Record<string, number>, string][] = [
    ["both named", { v1: 90, v2: 10 }, { v1: 50, v2: 50 }, { v1: 50, v2: 50 }, "TrafficShifted"],
    ["one named, the other takes the rest", { v1: 90, v2: 10 }, { v2: 25 }, { v1: 75, v2: 25 }, "TrafficShifted"],
    ["the rest in proportion", { v1: 60, v2: 20, v3: 20 }, { v3: 60 }, { v1: 30, v2: 10, v3: 60 }, "TrafficShifted"],
    [
      "the rest equally where nothing went there",
      { v1: 0, v2: 0, v3: 1 },
      { v3: 50 },
      { v1: 25, v2: 25, v3: 50 },
      "TrafficShifted",
    ],
    [
      "hundredths where whole percents do not do",
      { v1: 1, v2: 1, v3: 1 },
      { v3: 25 },
      { v1: 3750, v2: 3750, v3: 2500 },
      "TrafficShifted",
    ],
    ["a fraction of a percent", { v1: 100, v2: 0 }, { v2: 0.5 }, { v1: 9950, v2: 50 }, "TrafficShifted"],
    [
      "thirds, to the hundredth",
      { v1: 1, v2: 1, v3: 1 },
      { v1: 0, v2: 33.33 },
      { v1: 0, v2: 3333, v3: 6667 },
      "TrafficShifted",
    ],
    ["everything to one", { v1: 90, v2: 10 }, { v2: 100 }, { v1: 0, v2: 100 }, "TrafficShifted"],
    [
      "a subset that the rule does not know yet: a canary begins",
      { v1: 1 },
      { v2: 10 },
      { v1: 90, v2: 10 },
      "RouteDefined",
    ],
  ];
  for (const [title, before, percent, after, event] of rows) {
    test(title, () => {
      const { decision, next } = shifted([route(backends(before))], percent);
      expect(types(decision)).toBe(event);
      expect(weightsOf(next, "catalog-route", 0)).toEqual(after);
    });
  }

  test("takes the last rule without a match, unless told otherwise", () => {
    const documents = [route(beta, backends({ v1: 1, v2: 1 }))];
    const unsaid = shifted(documents, { v1: 10 });
    expect(unsaid.decision.events).toEqual([
      {
        type: "TrafficShifted",
        namespace: "shop",
        name: "catalog-route",
        service: "catalog",
        rule: 1,
        from: { v1: 1, v2: 1 },
        to: { v1: 10, v2: 90 },
      },
    ]);
    expect(weightsOf(shifted(documents, { v1: 10 }, 0).next, "catalog-route", 0)).toEqual({ v2: 90, v1: 10 });
  });

  test("takes the last of several rules without a match", () => {
    const { next } = shifted([route(backends({ v1: 1, v2: 1 }), backends({ v1: 1, v2: 1 }))], { v1: 10 });
    expect(weightsOf(next, "catalog-route", 0)).toEqual({ v1: 1, v2: 1 });
    expect(weightsOf(next, "catalog-route", 1)).toEqual({ v1: 10, v2: 90 });
  });

  test("adds a default rule to a route that has none", () => {
    const { decision, next } = shifted([route(beta)], { v2: 10 });
    expect(types(decision)).toBe("RouteDefined");
    expect(weightsOf(next, "catalog-route", 1)).toEqual({ v1: 45, v2: 10, v3: 45 });
  });

  test("makes a route where there is none, and keeps what else a rule says", () => {
    expect(weightsOf(shifted([], { v1: 90, v2: 10 }).next, "catalog", 0)).toEqual({ v1: 90, v2: 10, v3: 0 });
    const { next } = shifted([route({ timeout: "3s" })], { v2: 20 });
    expect(contents(next)["Route/shop/catalog-route"]?.spec).toMatchObject({ rules: [{ timeout: "3s" }] });
    expect(weightsOf(next, "catalog-route", 0)).toEqual({ v1: 40, v2: 20, v3: 40 });
  });

  test("sends to another service, beside what the rule has and beside a service without a rule", () => {
    const next = service("shop/next", []);
    const backendsOf = (state: ReturnType<typeof given>, name: string) => {
      const found = contents(state)[`Route/shop/${name}`];
      return found?.kind === "Route" ? found.spec.rules[0]?.backends : undefined;
    };
    const percent = { "service next": 10 };
    const { next: state } = shifted([next, route(backends({ v1: 100 }))], percent);
    expect(backendsOf(state, "catalog-route")).toEqual([
      { subset: "v1", weight: 90 },
      { service: "next", weight: 10 },
    ]);
    const back = decided(state, "shop", { kind: "shift", service: target, percent: { "service next": 0 } });
    expect(backendsOf(back.next, "catalog-route")).toContainEqual({ service: "next", weight: 0 });
    const bare = given(service("shop/plain", []), next);
    const begun = decided(bare, "shop", { kind: "shift", service: { ...target, name: "plain" }, percent });
    expect(backendsOf(begun.next, "plain")).toEqual([{ weight: 90 }, { service: "next", weight: 10 }]);
    const nobody = { kind: "shift", service: target, percent: { "service nobody": 10 } } as const;
    expect(refused(given(catalog, route(backends({ v1: 100 }))), "shop", nobody)).toContain("nobody");
  });

  test("changes nothing, and says so, where traffic is split so already", () => {
    const { decision } = shifted([route(backends({ v1: 9, v2: 1 }))], { v1: 90 });
    expect(decision.events).toEqual([]);
    expect(decision.warnings).toEqual(["traffic of shop/catalog is already split so"]);
  });

  const refusals: [string, Record<string, number>, number | undefined, string][] = [
    ["more than 100", { v1: 60, v2: 50 }, undefined, "add up to 110"],
    ["a rest that nobody takes", { v1: 60, v2: 30 }, undefined, "remaining 10"],
    ["a subset that is not there", { v9: 10 }, undefined, "has no subset v9; there are: v1, v2, v3"],
    ["finer than it can weigh", { v1: 0.001 }, undefined, "finer than a hundredth"],
    ["nothing named", {}, undefined, "at least one"],
    ["a rule that is not there", { v1: 1 }, 5, "there is no rule 5: Route/shop/catalog-route has rules 0 to 0"],
  ];
  for (const [title, percent, rule, words] of refusals) {
    test(`refuses ${title}`, () => {
      const state = given(catalog, route(backends({ v1: 1, v2: 1 })));
      const body = { kind: "shift", service: target, percent, ...(rule === undefined ? {} : { rule }) } as const;
      expect(refused(state, "shop", body)).toContain(words);
    });
  }

  test("refuses a service that is not there, and one of another namespace", () => {
    const state = given(catalog);
    const shift = (namespace: string, name: string) =>
      refused(state, "shop", { kind: "shift", service: { namespace, name }, percent: { v1: 1 } });
    expect(shift("shop", "catalgo")).toContain("did you mean shop/catalog?");
    expect(shift("bank", "catalog")).toContain("another namespace");
  });

  test("refuses to take over a route that is about another service", () => {
    const state = given(
      catalog,
      service("shop/web"),
      document("Route", "shop/catalog", { service: "web", rules: [{}] }),
    );
    const why = refused(state, "shop", { kind: "shift", service: target, percent: { v1: 1, v2: 99 } });
    expect(why).toContain("Route/shop/catalog is about shop/web");
  });
});

describe("splitTraffic", () => {
  test("always sums to 100 or 10,000, and gives the named ones exactly their share", () => {
    const weights = fc.array(fc.nat(1_000_000), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(weights, fc.integer({ min: 0, max: 10_000 }), (old, hundredths) => {
        const before = new Map(old.map((weight, index) => [`v${index}`, weight]));
        const split = splitTraffic(before, new Map([["v0", hundredths / 100]]));
        if (!split.ok) throw new Error(split.error);
        const total = [...split.value.values()].reduce((sum, weight) => sum + weight, 0);
        expect([100, 10_000]).toContain(total);
        expect(((split.value.get("v0") ?? 0) / total) * 10_000).toBeCloseTo(hundredths, 6);
        expect([...split.value.values()].every((weight) => Number.isInteger(weight) && weight >= 0)).toBe(true);
        expect([...split.value.keys()]).toEqual([...before.keys()]);
      }),
    );
  });

  test("sameSplit compares fractions, not numbers", () => {
    expect(
      sameSplit(
        new Map([
          ["a", 9],
          ["b", 1],
        ]),
        new Map([
          ["b", 10],
          ["a", 90],
        ]),
      ),
    ).toBe(true);
    expect(
      sameSplit(
        new Map([
          ["a", 9],
          ["b", 1],
        ]),
        new Map([
          ["a", 90],
          ["b", 11],
        ]),
      ),
    ).toBe(false);
    expect(
      sameSplit(
        new Map([["a", 1]]),
        new Map([
          ["a", 5],
          ["b", 0],
        ]),
      ),
    ).toBe(true);
  });
});
