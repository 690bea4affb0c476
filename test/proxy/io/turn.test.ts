import { expect, test } from "bun:test";
import { atEndOfTurn, turnClock } from "../../../src/proxy/io/turn.ts";

const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

test("a clock stands still within a turn, and is read anew in the next", async () => {
  let readings = 0;
  const clock = turnClock(() => ++readings);
  const first = clock();
  expect(clock()).toBe(first);
  await Promise.resolve();
  expect(clock()).toBe(first);
  for (let turn = 0, last = first; turn < 3; turn++) {
    await nextTurn();
    const next = clock();
    expect(next).toBeGreaterThan(last);
    expect(clock()).toBe(next);
    last = next;
  }
});

test("all clocks move on together, whichever was asked first", async () => {
  const clocks = [0, 1].map(() => {
    let readings = 0;
    return turnClock(() => ++readings);
  });
  const tell = () => clocks.map((clock) => clock());
  const before = tell();
  await nextTurn();
  const after = tell();
  for (const [index, time] of after.entries()) expect(time).toBeGreaterThan(before[index] ?? time);
});

test("what a task puts off runs in the next turn, by the time of that one", async () => {
  let readings = 0;
  const clock = turnClock(() => ++readings);
  const times: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const second = {
    endOfTurn() {
      times.push(clock());
      resolve();
    },
  };
  const first = {
    endOfTurn() {
      times.push(clock());
      atEndOfTurn(second);
    },
  };
  const now = clock();
  atEndOfTurn(first);
  await promise;
  expect(times).toHaveLength(2);
  expect(times[0]).toBe(now);
  expect(times[1]).toBeGreaterThan(now);
});
