import { describe, expect, test } from "bun:test";
import { recentChanges } from "../../src/cli/mesh/recent-changes.ts";
import type { RecordedChange } from "../../src/events/change.ts";
import type { EventLog, ReadRange } from "../../src/events/log.ts";
import { TestLedger } from "../support/ledger.ts";

const ledger = new TestLedger();
for (let revision = 1; revision <= 300; revision++) {
  const namespace = revision % 3 === 0 ? "bank" : "shop";
  const spec = { ports: [{ port: revision, protocol: "http" as const }] };
  ledger.record(namespace, [{ type: "ServiceDeclared", namespace, name: "a", spec }]);
}

/** The test ledger as a log, which counts what is read of it. */
function logOf(changes: readonly RecordedChange[]): Pick<EventLog, "read" | "lastRevision"> & { reads: number } {
  const log = {
    reads: 0,
    lastRevision: async () => changes.length,
    async *read({ from = 1, to = changes.length, namespace }: ReadRange = {}) {
      for (const change of changes.slice(from - 1, to)) {
        log.reads += 1;
        if (namespace === undefined || namespace === change.namespace) yield change;
      }
    },
  };
  return log;
}

async function revisions(range: ReadRange): Promise<number[]> {
  const found = await Array.fromAsync(recentChanges(logOf(ledger.changes), range));
  return found.map(({ revision }) => revision);
}

const downFrom = (to: number, from: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => to - index);

describe("the ledger backwards", () => {
  test("gives every change once, newest first", async () => {
    expect(await revisions({})).toEqual(downFrom(300, 1));
  });

  test.each([
    [{ from: 10, to: 200 }, downFrom(200, 10)],
    [{ from: 300 }, [300]],
    [{ to: 1 }, [1]],
    [{ from: 301 }, []],
    [{ from: 5, to: 4 }, []],
    [{ to: 900 }, downFrom(300, 1)],
    [{ namespace: "bank", from: 290 }, [300, 297, 294, 291]],
  ])("keeps to %j", async (range, expected) => {
    expect(await revisions(range)).toEqual(expected);
  });

  test("an empty ledger has none", async () => {
    expect(await Array.fromAsync(recentChanges(logOf([])))).toEqual([]);
  });

  test("reads no further than the consumer goes", async () => {
    const log = logOf(ledger.changes);
    for await (const { revision } of recentChanges(log)) if (revision === 290) break;
    expect(log.reads).toBeLessThan(100);
  });
});
