import { describe, expect, test } from "bun:test";
import type { ReadRange } from "../../src/events/log.ts";
import { stateAt } from "../../src/replay/state-at.ts";
import { ledger } from "./ledger.ts";

describe("stateAt", () => {
  test("is the fold of everything up to that revision", async () => {
    const { log, states } = await ledger();
    for (const [revision, state] of states.entries()) expect(await stateAt(log, revision)).toEqual(state);
  });

  test("is the same from any checkpoint, earlier or later", async () => {
    const { log, states } = await ledger();
    for (const checkpoint of states) expect<unknown>(await stateAt(log, 5, checkpoint)).toEqual(states[5]);
  });

  test("reads no more than it needs", async () => {
    const { log, states } = await ledger();
    const ranges: (ReadRange | undefined)[] = [];
    const counting = {
      read: (range?: ReadRange) => {
        ranges.push(range);
        return log.read(range);
      },
    };
    await stateAt(counting, 5, states[3]);
    await stateAt(counting, 5, states[5]);
    await stateAt(counting, 0);
    expect(ranges).toEqual([{ from: 4, to: 5 }]);
  });

  test("beyond the end is the state at the end", async () => {
    const { log, states } = await ledger();
    expect<unknown>(await stateAt(log, 999)).toEqual(states.at(-1));
  });
});
