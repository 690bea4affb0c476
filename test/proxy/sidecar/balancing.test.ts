/** Which instance calls go to, through real sidecars: by every algorithm, weight, place, and age. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Fleet } from "../../support/fleet.ts";
import { eventually } from "../../support/mesh.ts";

const MINUTE_MS = 60_000;
const place = (region: string, zone: string): { labels: Record<string, string> } => ({
  labels: { "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone },
});
const algorithm = (name: string, more = ""): { spec: string } => ({
  spec: `loadBalancer: { algorithm: ${name}${more} },`,
});
const EJECTING =
  "loadBalancer: { algorithm: round-robin }, outlierDetection: { consecutive5xx: 1, baseEjectionTime: 1h, interval: 1h, maxEjectionPercent: 100 },";
const USERS = Array.from({ length: 100 }, (_, number) => `user-${number}`);

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start(
    {
      usual: {},
      ring: algorithm("ring-hash", ", hash: { header: x-user }"),
      maglev: algorithm("maglev", ", hash: { cookie: user }"),
      weighted: algorithm("round-robin"),
      growing: algorithm("round-robin", ", slowStart: 100m"),
      near: { spec: EJECTING },
    },
    place("eu", "a"),
  );
  await fleet.add("usual", { quick: {}, slow: {} });
  await fleet.add("ring", { "ring-1": {}, "ring-2": {}, "ring-3": {}, "ring-4": {} });
  await fleet.add("maglev", { "maglev-1": {}, "maglev-2": {}, "maglev-3": {}, "maglev-4": {} });
  await fleet.add("weighted", { heavy: { labels: { "heddle.io/weight": "3" } }, light: {} });
  await fleet.add("growing", { old: {} });
  const here = place("eu", "a");
  await fleet.add("near", { "here-1": here, "here-2": here, "here-3": here, "here-4": here });
  await fleet.add("near", { "next-zone": place("eu", "b"), "far-away": place("us", "a") });
}, 30_000);
beforeEach(() => fleet.behaviour.clear());
afterAll(() => fleet.stop());

test("an instance that was slow is passed over by default, also when another snapshot has come", async () => {
  // By the clock of the sidecars: nobody waits, and no stall of the machine is as long.
  fleet.behaviour.set("slow", () => {
    fleet.aheadMs += 20_000;
    return new Response("slow");
  });
  // Nothing is passed over that nothing is known of.
  for (const instance of ["slow", "quick"]) {
    await eventually(async () => expect(await fleet.asked("usual", 1)).toEqual({ [instance]: 1 }));
  }
  expect(await fleet.asked("usual", 30)).toEqual({ quick: 30 });
  await fleet.redeclare("other", {});
  expect(await fleet.asked("usual", 30)).toEqual({ quick: 30 });
});

describe("consistent hashing", () => {
  const byHeader = (user: string): RequestInit => ({ headers: { "x-user": user } });
  const byCookie = (user: string): RequestInit => ({ headers: { cookie: `theme=dark; user=${user}` } });

  /** Where each user is sent to. */
  async function owners(service: string, init: (user: string) => RequestInit): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const user of USERS) found.set(user, await (await fleet.call(service, "/", init(user))).text());
    return found;
  }

  test.each([
    ["ring", byHeader],
    ["maglev", byCookie],
  ])("by %s: the same user comes to the same instance, and most stay when one leaves", async (service, init) => {
    const before = await owners(service, init);
    const gone = `${service}-2`;
    expect([...new Set(before.values())].sort()).toEqual([1, 2, 3, 4].map((number) => `${service}-${number}`));
    expect(await owners(service, init)).toEqual(before);
    await fleet.sidecar(gone).stop();
    await eventually(async () => expect(await fleet.endpoints(service)).toHaveLength(3));
    const after = await owners(service, init);
    expect([...after.values()]).not.toContain(gone);
    const others = USERS.filter((user) => before.get(user) !== gone);
    const moved = others.filter((user) => after.get(user) !== before.get(user));
    // By the remainder of a division, two thirds of them would move.
    expect(moved.length).toBeLessThan(others.length / 4);
  });
});

test("instances get their share by weight", async () => {
  expect(await fleet.asked("weighted", 40)).toEqual({ heavy: 30, light: 10 });
});

test("one that joins grows into its share", async () => {
  await fleet.add("growing", { young: {} });
  // A tenth of the weight at first, then as much as has gone of the time, at last all of it.
  expect((await fleet.asked("growing", 44)).young).toBeLessThan(8);
  fleet.aheadMs += 50 * MINUTE_MS;
  const half = (await fleet.asked("growing", 60)).young;
  expect(half).toBeGreaterThan(17);
  expect(half).toBeLessThan(24);
  fleet.aheadMs += 50 * MINUTE_MS;
  expect(await fleet.asked("growing", 40)).toEqual({ old: 20, young: 20 });
});

describe("near instances first", () => {
  const HERE = ["here-1", "here-2", "here-3", "here-4"];
  const CALLS = 300;

  /** Has them ejected. */
  async function fail(...instances: readonly string[]): Promise<void> {
    for (const instance of instances) fleet.behaviour.set(instance, () => new Response("", { status: 500 }));
    await eventually(async () => {
      await fleet.asked("near", 10);
      expect(Object.keys(await fleet.avoided("near"))).toEqual(expect.arrayContaining([...instances]));
    });
  }

  test("the own zone takes all while enough of it is well, and then as much as it can", async () => {
    expect(Object.keys(await fleet.asked("near", 60)).sort()).toEqual(HERE);
    await fail("here-1");
    expect(Object.keys(await fleet.asked("near", 60)).sort()).toEqual(HERE.slice(1));
    await fail("here-2");
    // Half of it is well: seven tenths, within five standard deviations.
    const asked = await fleet.asked("near", CALLS);
    const here = (asked["here-3"] ?? 0) + (asked["here-4"] ?? 0);
    expect(Math.abs(here - 0.7 * CALLS)).toBeLessThan(5 * Math.sqrt(CALLS * 0.7 * 0.3));
    // What is left goes to the next zone, not to another region.
    expect(asked["next-zone"]).toBe(CALLS - here);
    expect(asked["far-away"]).toBeUndefined();
  });

  test("then the own region, and at last another one", async () => {
    await fail(...HERE);
    expect(await fleet.asked("near", 20)).toEqual({ "next-zone": 20 });
    await fail("next-zone");
    expect(await fleet.asked("near", 20)).toEqual({ "far-away": 20 });
  });
});
