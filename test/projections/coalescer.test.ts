import { afterEach, expect, test } from "bun:test";
import { Coalescer, type CoalescerOptions } from "../../src/projections/coalescer.ts";

const made: Coalescer<string>[] = [];
afterEach(async () => {
  for (const coalescer of made.splice(0)) await coalescer.stop();
});

function coalescer(options: Partial<CoalescerOptions<string>> & Pick<CoalescerOptions<string>, "work">) {
  const one = new Coalescer<string>({ warn: () => {}, random: () => 0, ...options });
  made.push(one);
  return one;
}

test("marks of one turn are one round, in order, each key once", async () => {
  const worked: string[] = [];
  const one = coalescer({ work: async (key) => void worked.push(key) });
  one.mark(["b", "a"]);
  one.mark(["a", "c"]);
  expect(one.idle).toBe(false);
  await one.settled();
  expect(worked).toEqual(["b", "a", "c"]);
  expect(one.idle).toBe(true);
});

test("however often a key is marked while it is worked, it is worked once more, and never twice at a time", async () => {
  const gate = Promise.withResolvers<void>();
  let inside = 0;
  let times = 0;
  const one = coalescer({
    work: async () => {
      inside += 1;
      times += 1;
      expect(inside).toBe(1);
      await gate.promise;
      inside -= 1;
    },
  });
  one.mark(["a"]);
  await Promise.resolve();
  for (let index = 0; index < 100; index++) one.mark(["a"]);
  gate.resolve();
  await one.settled();
  expect(times).toBe(2);
});

test("a key marked by the last work of a run is not forgotten", async () => {
  const worked: string[] = [];
  const one = coalescer({
    work: async (key) => {
      worked.push(key);
      if (key === "a") queueMicrotask(() => queueMicrotask(() => one.mark(["b"])));
    },
  });
  one.mark(["a"]);
  await one.settled();
  // The mark may fall before, in or after the end of the run: wherever, it is worked.
  await new Promise((resolve) => setImmediate(resolve));
  await one.settled();
  expect(worked).toEqual(["a", "b"]);
});

test("work that fails stays due and holds up nothing else", async () => {
  const warnings: string[] = [];
  const worked: string[] = [];
  let rounds = 0;
  let done = 0;
  let failures = 2;
  const one = coalescer({
    work: async (key) => {
      if (key === "a" && failures-- > 0) throw new Error("out of reach");
      worked.push(key);
    },
    onRound: () => void rounds++,
    onRoundDone: () => void done++,
    warn: (message) => void warnings.push(message),
  });
  one.mark(["a", "b"]);
  await one.settled();
  expect(worked).toEqual(["b", "a"]);
  expect([rounds, done]).toEqual([3, 1]);
  expect(warnings).toEqual([
    "1 of 2 writes failed and will be tried again: out of reach",
    "1 of 1 writes failed and will be tried again: out of reach",
  ]);
});

test("work at once is bounded", async () => {
  let inside = 0;
  let most = 0;
  const one = coalescer({
    work: async () => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    },
  });
  one.mark(Array.from({ length: 100 }, (_, index) => `k${index}`));
  await one.settled();
  expect(most).toBe(16);
});

test("stop waits for what is being worked and gives up the rest, pauses included", async () => {
  const failing = coalescer({ work: () => Promise.reject(new Error("never")), random: () => 1 });
  failing.mark(["a"]);
  await new Promise((resolve) => setImmediate(resolve));
  await failing.stop();
  failing.mark(["b"]);
  expect(failing.idle).toBe(true);
});
