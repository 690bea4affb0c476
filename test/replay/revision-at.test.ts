import { expect, test } from "bun:test";
import { revisionAt } from "../../src/replay/revision-at.ts";
import { ledger } from "./ledger.ts";

const minute = (n: number) => Date.UTC(2026, 0, 1, 0, n);

test("finds the revision in force at any time", async () => {
  const { log, changes } = await ledger();
  for (const { revision } of changes) {
    expect(await revisionAt(log, minute(revision))).toBe(revision);
    expect(await revisionAt(log, minute(revision) - 1)).toBe(revision - 1);
    expect(await revisionAt(log, minute(revision) + 59_999)).toBe(revision);
  }
  expect(await revisionAt(log, 0)).toBe(0);
  expect(await revisionAt(log, minute(60))).toBe(changes.length);
});
