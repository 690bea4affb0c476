/** A body's pace, on a clock of the test's own. */

import { beforeEach, expect, test } from "bun:test";
import { Timers } from "../../../src/proxy/io/timers.ts";
import type { Runtime } from "../../../src/proxy/runtime.ts";
import { PacedBody } from "../../../src/proxy/upstream/paced-body.ts";

let nowMs: number;
let wake: (() => void) | undefined;
let log: string[];
let takes: boolean;

beforeEach(() => {
  nowMs = 1000;
  wake = undefined;
  log = [];
  takes = true;
});

/** 1,000 bytes a second: 50 at once. */
function pacedBody(bytesPerSecond = 1000): PacedBody {
  const timers = new Timers(() => nowMs);
  timers.arm = (timer, ms) => {
    const dueMs = nowMs + ms;
    wake = () => {
      nowMs = dueMs;
      wake = undefined;
      timer.onExpiry();
    };
  };
  const runtime = { timers, monotonicMs: () => nowMs } as unknown as Runtime;
  return new PacedBody(runtime, bytesPerSecond, {
    data: (chunk, end) => {
      log.push(`${nowMs - 1000}: ${chunk.byteLength}${end ? " end" : ""}`);
      return takes;
    },
    trailers: () => log.push("trailers"),
    drained: () => log.push("drained"),
  });
}

test("goes in slices, each when it is due, and asks for more when nothing is held", () => {
  const body = pacedBody();
  expect(body.push(new Uint8Array(120), false)).toBe(false);
  while (wake !== undefined) wake();
  expect(log).toEqual(["0: 50", "50: 50", "100: 20", "drained"]);
});

test("a pause earns no burst, and trailers wait for the body", () => {
  const body = pacedBody();
  expect(body.push(new Uint8Array(10), false)).toBe(true);
  nowMs = 9000;
  body.push(new Uint8Array(100), false);
  body.pushTrailers([]);
  while (wake !== undefined) wake();
  expect(log).toEqual(["0: 10", "8000: 50", "8050: 50", "trailers", "drained"]);
});

test("whoever takes nothing more gets nothing more, and the bytes are copies", () => {
  const body = pacedBody();
  takes = false;
  const chunk = new Uint8Array(100);
  body.push(chunk, true);
  expect(wake).toBeUndefined();
  takes = true;
  body.unblock();
  while (wake !== undefined) wake();
  expect(log).toEqual(["0: 50", "50: 50 end", "drained"]);
});

test("stopped, it lets nothing through, and an end without bytes goes at once", () => {
  const body = pacedBody(1);
  expect(body.push(new Uint8Array(0), true)).toBe(true);
  expect(log).toEqual(["0: 0 end"]);
  const other = pacedBody(1);
  other.push(new Uint8Array(3), true);
  other.stop();
  wake?.();
  expect(log).toEqual(["0: 0 end", "0: 1"]);
});
