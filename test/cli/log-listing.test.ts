import { expect, test } from "bun:test";
import { showAsFound } from "../../src/cli/output/log-listing.ts";
import type { HistoryEntry } from "../../src/replay/history.ts";
import { historyEntry } from "../../src/replay/history.ts";
import { TestLedger } from "../support/ledger.ts";

const ledger = new TestLedger();
for (const name of ["web", "orders", "payment"]) {
  const spec = { ports: [{ port: 80, protocol: "http" as const }] };
  ledger.record("shop", [{ type: "ServiceDeclared", namespace: "shop", name, spec }]);
}
const entries = ledger.changes.flatMap((recorded) => historyEntry(recorded, {}) ?? []);
const style = { width: undefined, times: "absolute" } as const;

test("what was found is shown while more is looked for, under one head", async () => {
  const shown: string[] = [];
  const first = Promise.withResolvers<void>();
  async function* found(): AsyncGenerator<HistoryEntry> {
    yield* entries.slice(0, 2);
    // Nothing more is found before the first two are seen.
    await first.promise;
    yield* entries.slice(2);
  }
  const show = (text: string): void => {
    shown.push(text);
    first.resolve();
  };
  const ended = await showAsFound(found(), { style, show, everyMs: 1, now: () => 0 });
  expect(ended).toEqual({ count: 3, last: entries[2] });
  expect(shown).toHaveLength(2);
  expect(shown[0]).toMatch(/^REVISION .*\n1 .*shop\/web.*\n2 .*shop\/orders.*\n$/);
  expect(shown[1]).toMatch(/^3 .*shop\/payment.*\n$/);
});

test("what was found is shown even if looking for more fails", async () => {
  const shown: string[] = [];
  async function* found(): AsyncGenerator<HistoryEntry> {
    yield* entries.slice(0, 1);
    throw new Error("the ledger is out of reach");
  }
  const options = { style, show: (text: string) => shown.push(text), everyMs: 60_000, now: () => 0 };
  await expect(showAsFound(found(), options)).rejects.toThrow("out of reach");
  expect(shown).toEqual([expect.stringContaining("shop/web")]);
});
