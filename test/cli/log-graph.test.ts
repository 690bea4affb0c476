import { expect, test } from "bun:test";
import { graphLanes } from "../../src/cli/output/log-graph.ts";
import { historyEntry } from "../../src/replay/history.ts";
import { TestLedger } from "../support/ledger.ts";

const ports = [{ port: 80, protocol: "http" as const }];

test("a lane lives from a namespace's newest change to its oldest", () => {
  const ledger = new TestLedger();
  for (const namespace of ["a", "b", "a", "c", "b"]) {
    ledger.record(namespace, [{ type: "ServiceDeclared", namespace, name: "web", spec: { ports } }]);
  }
  const entries = ledger.changes.toReversed().flatMap((recorded) => historyEntry(recorded, {}) ?? []);
  expect(graphLanes(entries, (_, text) => text)).toEqual(["*    ", "│ *  ", "│   *", "*   │", "    *"]);
});

test("what does not fit beside one another shares the last lane", () => {
  const ledger = new TestLedger();
  for (let index = 0; index < 20; index++) {
    const namespace = `n${index}`;
    ledger.record(namespace, [{ type: "ServiceDeclared", namespace, name: "web", spec: { ports } }]);
  }
  const entries = ledger.changes.flatMap((recorded) => historyEntry(recorded, {}) ?? []);
  const lanes = graphLanes(entries, (_, text) => text);
  expect(lanes).toHaveLength(20);
  expect(lanes.every((lane) => lane.length === 23 && lane.split("*").length === 2)).toBe(true);
});
