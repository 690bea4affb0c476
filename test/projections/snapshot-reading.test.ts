import { describe, expect, test } from "bun:test";
import { canonicalJson } from "../../src/policy/canonical.ts";
import {
  type EndpointSet,
  endpointSet,
  type ServiceSnapshot,
  type SnapshotRouteRule,
  serviceSnapshot,
} from "../../src/projections/snapshot.ts";
import { type ReadSnapshot, readEndpointSet, readSnapshot } from "../../src/projections/snapshot-reading.ts";
import { type KnownText, splitSnapshot } from "../../src/projections/snapshot-text.ts";
import { routeRule, snapshot, upstream } from "../proxy/fixture.ts";

/** What comes of a text, and how often others could have had their turn meanwhile. */
function read(text: string, known?: KnownText): { readonly outcome: ReadSnapshot | string; readonly turns: number } {
  let turns = 0;
  const finish = <T>(work: Generator<void, T>): T => {
    for (;;) {
      const step = work.next();
      if (step.done === true) return step.value;
      turns++;
    }
  };
  const outcome = finish(readSnapshot(finish(splitSnapshot(Buffer.from(text), known))));
  return { outcome, turns };
}

function good(text: string, known?: KnownText): ReadSnapshot {
  const { outcome } = read(text, known);
  if (typeof outcome === "string") throw new Error(outcome);
  return outcome;
}

/** A snapshot as it comes from outside, with so many upstreams of ten rules each. */
function large(upstreams: number, timeoutMs: (at: number) => number = () => 1_000): ServiceSnapshot {
  const all = Array.from({ length: upstreams }, (_, at) => {
    const rules = Array.from({ length: 10 }, (_unused, rule) => routeRule({ timeoutMs: timeoutMs(at) }, rule));
    return upstream("shop", `s-${at}`, { routes: rules });
  });
  return snapshot({ upstreams: Object.fromEntries(all.map((one) => [`shop/${one.name}`, one])) });
}

test("a large one lets others have their turn, and comes to what the schema makes of it", () => {
  const value = large(1_000);
  const { outcome, turns } = read(JSON.stringify(value));
  expect(turns).toBeGreaterThanOrEqual(1_000);
  expect((outcome as ReadSnapshot).snapshot).toEqual(serviceSnapshot.parse(value));
});

test("an upstream of which nothing new is said is the same object, wherever it stands now", () => {
  const before = good(JSON.stringify(large(20)));
  const changed = { ...large(20, (at) => (at === 7 ? 2_000 : 1_000)), revision: 43 };
  const { "shop/s-3": gone, ...rest } = changed.upstreams;
  const upstreams = { "shop/new": upstream("shop", "new"), ...rest };
  const after = good(JSON.stringify({ ...changed, upstreams }), before);
  expect(after.snapshot).toEqual({ ...changed, upstreams });
  for (const [ref, one] of Object.entries(after.snapshot.upstreams)) {
    const isSame = one === before.snapshot.upstreams[ref];
    expect(isSame, ref).toBe(ref !== "shop/s-7" && ref !== "shop/new");
  }
  // And what was read in the second place is known from there on.
  const third = good(JSON.stringify({ ...changed, upstreams, revision: 44 }), after);
  expect(third.snapshot.upstreams["shop/s-7"]).toBe(after.snapshot.upstreams["shop/s-7"]);
});

test("of a rule that changed, what it says as before is not read again", () => {
  const saying = (rule: object): string => {
    const rules = [
      { ...routeRule({ match: [{ path: { prefix: "/a" }, headers: { "x-a": { exact: "1" } } }] }), ...rule },
    ];
    return JSON.stringify(snapshot({ upstreams: { "shop/a": upstream("shop", "a", { routes: rules }) } }));
  };
  const ruleOf = ({ snapshot: { upstreams } }: ReadSnapshot): SnapshotRouteRule | undefined =>
    upstreams["shop/a"]?.routes[0];
  const before = good(saying({ timeoutMs: 1_000 }));
  const slower = good(saying({ timeoutMs: 2_000 }), before);
  expect(slower.snapshot).toEqual(JSON.parse(saying({ timeoutMs: 2_000 })));
  expect(ruleOf(slower)?.match).toBe(ruleOf(before)?.match);
  // What changed, came or went is read, and judged, as it is in a rule that nobody knows.
  for (const rule of [
    {},
    { idleTimeoutMs: 5 },
    { match: [] },
    { match: [{ path: { prefix: "/b" } }] },
    { match: [{ path: { prefix: "/a" }, headers: { "X-A": { exact: "1" } } }] },
    { match: [{ headers: { "x-a": { exact: "1" } }, path: { prefix: "/a" } }] },
    { timeoutMs: 0 },
    { timeoutMs: null },
    { match: undefined },
    { match: { 0: { path: { prefix: "/a" } }, length: 1 } },
    { match: [{ path: { prefix: "/a", exact: "/a" } }] },
    { backends: [{ weight: -1 }] },
    { origin: "shop/a" },
    { unheard: 1 },
    { constructor: 1 },
  ]) {
    const parsed = serviceSnapshot.safeParse(JSON.parse(saying(rule)));
    const { outcome } = read(saying(rule), before);
    expect(typeof outcome === "string" ? undefined : outcome.snapshot, saying(rule)).toEqual(parsed.data);
    expect(outcome, saying(rule)).toEqual(typeof outcome === "string" ? read(saying(rule)).outcome : outcome);
  }
  expect(read(saying({ timeoutMs: 0 }), before).outcome).toStartWith("upstreams.shop/a.routes.0.timeoutMs: ");
});

test("what merely begins like what is known is another", () => {
  const named = (name: string): string => JSON.stringify(snapshot({ upstreams: { "shop/a": upstream("shop", name) } }));
  const before = good(named("a"));
  expect(good(named("ab"), before).snapshot.upstreams["shop/a"]?.name).toBe("ab");
});

test.each([
  ["written with spaces", (value: ServiceSnapshot) => JSON.stringify(value, null, "\t \r")],
  ["in canonical order", (value: ServiceSnapshot) => canonicalJson(value)],
  ["its upstreams first", ({ upstreams, ...rest }: ServiceSnapshot) => JSON.stringify({ upstreams, ...rest })],
  [
    "with escapes in keys",
    (value: ServiceSnapshot) => JSON.stringify(value).replace('"upstreams"', '"\\u0075pstreams"'),
  ],
  ["with escapes in names", (value: ServiceSnapshot) => JSON.stringify(value).replace('"shop/s-1"', '"shop\\/s-1"')],
  ["its upstreams said twice", (value: ServiceSnapshot) => `{"upstreams":{"a":1},${JSON.stringify(value).slice(1)}`],
  ["an upstream said twice", (value: ServiceSnapshot) => JSON.stringify(value).replace('s":{', 's":{"shop/s-0":5,')],
  ["no upstreams", (value: ServiceSnapshot) => JSON.stringify({ ...value, upstreams: {} })],
])("JSON is JSON: %s", (_, write) => {
  const text = write(large(3));
  expect(good(text).snapshot).toEqual(serviceSnapshot.parse(JSON.parse(text)));
  expect(good(text, good(text)).snapshot).toEqual(serviceSnapshot.parse(JSON.parse(text)));
});

test("strings may hold whatever they like", () => {
  const text = '/a"}],{"b":\\ \\" {[é☃';
  const rules = [routeRule({ match: [{ path: { exact: text } }] })];
  const value = snapshot({
    upstreams: { "shop/a": upstream("shop", "a", { routes: rules }), "shop/b": upstream("shop", "b") },
  });
  expect(good(JSON.stringify(value)).snapshot).toEqual(value);
});

test("a text that was cut short or damaged at any place is no snapshot, whatever is known", () => {
  const text = JSON.stringify(snapshot({ upstreams: { "shop/a": upstream("shop", "a") } }));
  const known = good(text);
  for (let at = 0; at < text.length; at++) {
    expect(read(text.slice(0, at), known).outcome, `cut at ${at}`).toBeString();
    for (const wrong of ["}", "{", '"', ",", "]", "\\", "\v", "\u0001"]) {
      const damaged = text.slice(0, at) + wrong + text.slice(at + 1);
      const { outcome } = read(damaged, known);
      let value: unknown;
      try {
        value = JSON.parse(damaged);
      } catch {
        expect(outcome, damaged).toBeString();
        continue;
      }
      const parsed = serviceSnapshot.safeParse(value);
      expect(typeof outcome === "string" ? undefined : outcome.snapshot, damaged).toEqual(parsed.data);
    }
  }
});

test("bytes that are no UTF-8 are refused, in names as well", () => {
  const text = JSON.stringify(snapshot({ upstreams: { "shop/a": upstream("shop", "a") } }));
  for (let at = 0; at < text.length; at++) {
    const bytes = Buffer.from(text);
    bytes[at] = 0xff;
    const splitting = splitSnapshot(bytes);
    let step = splitting.next();
    while (step.done !== true) step = splitting.next();
    const reading = readSnapshot(step.value);
    let end = reading.next();
    while (end.done !== true) end = reading.next();
    expect(end.value, `byte ${at}`).toBeString();
  }
});

test("what is wrong with it is said with its place, wherever that is", () => {
  const value = large(3);
  const { "shop/s-1": bad, ...others } = value.upstreams;
  const outcomeOf = (given: unknown): ReadSnapshot | string => read(JSON.stringify(given) ?? "").outcome;
  expect(outcomeOf({ ...value, upstreams: { ...others, "shop/s-1": { ...bad, quarantine: true } } })).toBe(
    'upstreams.shop/s-1: Unrecognized key: "quarantine"',
  );
  expect(outcomeOf({ ...value, quarantine: true })).toBe('Unrecognized key: "quarantine"');
  expect(outcomeOf({ ...value, upstreams: [] })).toStartWith("upstreams: ");
  expect(outcomeOf(undefined)).toBeString();
  expect(outcomeOf(5)).toBeString();
});

describe("endpoints", () => {
  const set = (count: number, ...more: unknown[]): unknown => ({
    namespace: "shop",
    name: "catalog",
    version: 3,
    endpoints: [
      ...Array.from({ length: count }, (_, at) => ({ instance: `i-${at}`, host: "10.0.0.1", port: 1, labels: {} })),
      ...more,
    ],
  });
  const readSet = (value: unknown): { readonly outcome: EndpointSet | string; readonly turns: number } => {
    const reading = readEndpointSet(value);
    for (let turns = 0; ; turns++) {
      const step = reading.next();
      if (step.done === true) return { outcome: step.value, turns };
    }
  };

  test("thousands let others have their turn, and come to what the schema makes of them", () => {
    const { outcome, turns } = readSet(set(10_000));
    expect(turns).toBeGreaterThan(50);
    expect(outcome).toEqual(endpointSet.parse(set(10_000)));
  });

  test("what is wrong is said with its place, and more than there may be are refused", () => {
    const bad = { instance: "i", host: "10.0.0.1", port: 0, labels: {} };
    expect(readSet(set(3, bad)).outcome).toStartWith("endpoints.3.port: ");
    expect(readSet(set(10_000, bad)).outcome).toStartWith("endpoints: ");
    expect(readSet({ ...(set(1) as object), version: -1 }).outcome).toStartWith("version: ");
  });
});
