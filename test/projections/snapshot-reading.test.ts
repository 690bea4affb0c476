import { expect, test } from "bun:test";
import { type ServiceSnapshot, serviceSnapshot } from "../../src/projections/snapshot.ts";
import { readSnapshot } from "../../src/projections/snapshot-reading.ts";
import { routeRule, snapshot, upstream } from "../proxy/fixture.ts";

/** What comes of a value, and how often others had their turn meanwhile. */
function read(value: unknown): { readonly outcome: ServiceSnapshot | string; readonly turns: number } {
  const reading = readSnapshot(value);
  for (let turns = 0; ; turns++) {
    const step = reading.next();
    if (step.done === true) return { outcome: step.value, turns };
  }
}

/** A snapshot as it comes from outside, with so many upstreams of ten rules each. */
function large(upstreams: number): ServiceSnapshot {
  const rules = Array.from({ length: 10 }, (_, at) => routeRule({}, at));
  const all = Array.from({ length: upstreams }, (_, at) => upstream("shop", `s-${at}`, { routes: rules }));
  return snapshot({ upstreams: Object.fromEntries(all.map((one) => [`shop/${one.name}`, one])) });
}

test("a small snapshot is read at once", () => {
  const value = large(3);
  expect(read(value)).toEqual({ outcome: value, turns: 0 });
});

test("a large one lets others have their turn, and comes to the same", () => {
  const value = large(1_000);
  const { outcome, turns } = read(value);
  expect(turns).toBeGreaterThan(30);
  expect(outcome).toEqual(serviceSnapshot.parse(value));
});

test("what is wrong with it is said with its place, wherever that is", () => {
  const value = large(3);
  const { "shop/s-1": bad, ...good } = value.upstreams;
  expect(read({ ...value, upstreams: { ...good, "shop/s-1": { ...bad, quarantine: true } } }).outcome).toBe(
    'upstreams.shop/s-1: Unrecognized key: "quarantine"',
  );
  expect(read({ ...value, quarantine: true }).outcome).toBe('Unrecognized key: "quarantine"');
  expect(read({ ...value, upstreams: [] }).outcome).toStartWith("upstreams: ");
  expect(read(undefined).outcome).toBeString();
});
