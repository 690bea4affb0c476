import { expect, test } from "bun:test";
import { Timer, Timers } from "../../../src/proxy/io/timers.ts";
import { eventually } from "../../support/mesh.ts";

/** Timers on a clock of the test's own; their real wake-ups are stopped. */
function setUp(): { timers: Timers; fired: string[]; timer: (name: string) => Timer; pass: (ms: number) => void } {
  let nowMs = 1_000;
  const timers = new Timers(() => nowMs);
  const fired: string[] = [];
  return {
    timers,
    fired,
    timer: (name) => new Timer(() => void fired.push(name)),
    pass(ms) {
      nowMs += ms;
      timers.expire();
      timers.stop();
    },
  };
}

test("timers fire when due, those of one duration in the order of arming", () => {
  const { timers, fired, timer, pass } = setUp();
  for (const [name, ms] of [
    ["c", 300],
    ["a", 100],
    ["b1", 200],
    ["b2", 200],
  ] as const)
    timers.arm(timer(name), ms);
  pass(99);
  expect(fired).toEqual([]);
  pass(1);
  expect(fired).toEqual(["a"]);
  pass(150);
  expect(fired).toEqual(["a", "b1", "b2"]);
  pass(50);
  expect(fired).toEqual(["a", "b1", "b2", "c"]);
});

test("a cancelled timer does not fire; cancelling is idempotent, also for one that was never armed", () => {
  const { timers, fired, timer, pass } = setUp();
  const [one, two] = [timer("one"), timer("two")];
  two.cancel();
  timers.arm(one, 100);
  timers.arm(two, 100);
  expect(one.armed).toBe(true);
  one.cancel();
  one.cancel();
  expect(one.armed).toBe(false);
  pass(100);
  expect(fired).toEqual(["two"]);
});

test("arming anew moves a timer, to another duration as well", () => {
  const { timers, fired, timer, pass } = setUp();
  const one = timer("one");
  timers.arm(one, 100);
  pass(60);
  timers.arm(one, 100);
  pass(60);
  expect(fired).toEqual([]);
  timers.arm(one, 20);
  pass(20);
  expect(fired).toEqual(["one"]);
  pass(1_000);
  expect(fired).toEqual(["one"]);
});

test("a timer may arm itself, arm others and cancel its neighbours while it fires", () => {
  const { timers, fired, timer, pass } = setUp();
  const victim = timer("victim");
  const later = timer("later");
  let rounds = 0;
  const self: Timer = new Timer(() => {
    fired.push("self");
    victim.cancel();
    timers.arm(later, 50);
    if (++rounds < 3) timers.arm(self, 100);
  });
  timers.arm(self, 100);
  timers.arm(victim, 100);
  pass(100);
  expect(fired).toEqual(["self"]);
  pass(50);
  expect(fired).toEqual(["self", "later"]);
  for (let step = 0; step < 3; step++) pass(50);
  expect(fired).toEqual(["self", "later", "self", "later", "self"]);
});

test("on the real clock: a short timeout behind a long one fires in its time", async () => {
  const timers = new Timers(() => performance.now());
  timers.arm(new Timer(() => {}), 60_000);
  const startMs = performance.now();
  const fired = Promise.withResolvers<void>();
  timers.arm(new Timer(() => timers.arm(new Timer(() => fired.resolve()), 20)), 20);
  await fired.promise;
  const tookMs = performance.now() - startMs;
  expect(tookMs).toBeGreaterThanOrEqual(39);
  expect(tookMs).toBeLessThan(1_000);
  timers.stop();
});

test("a timeout longer than the runtime can sleep is slept through all the same", async () => {
  let looks = 0;
  const timers = new Timers(() => {
    looks++;
    return performance.now();
  });
  timers.arm(new Timer(() => {}), 2 ** 40);
  looks = 0;
  await Bun.sleep(60);
  expect(looks).toBe(0);
  timers.stop();
});

test("one that throws is told of, and takes neither the others nor the next wake-up with it", async () => {
  const bugs: unknown[] = [];
  const timers = new Timers(
    () => performance.now(),
    (error) => void bugs.push(error),
  );
  const fired: string[] = [];
  const bug = new Error("bug");
  timers.arm(
    new Timer(() => {
      throw bug;
    }),
    10,
  );
  timers.arm(new Timer(() => void fired.push("same list")), 10);
  timers.arm(new Timer(() => void fired.push("later")), 30);
  await eventually(() => expect(fired).toEqual(["same list", "later"]));
  expect(bugs).toEqual([bug]);
});
