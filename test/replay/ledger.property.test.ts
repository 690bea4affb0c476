/** What holds for any history of commands. A failure prints its seed and path: pass them to `fc.assert` to see it again. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeChange } from "../../src/events/chain.ts";
import { decide } from "../../src/events/decide.ts";
import { documentsOf } from "../../src/events/documents.ts";
import { foldAll, foldChange } from "../../src/events/evolve.ts";
import { advanceMark, FIRST_MARK } from "../../src/events/ledger-mark.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { canonicalJson } from "../../src/policy/canonical.ts";
import { parseServiceRef } from "../../src/policy/names.ts";
import { declaredServices } from "../../src/projections/call-graph.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/projections/checkpoint.ts";
import { compileSnapshot, encodeSnapshot } from "../../src/projections/compile-snapshot.ts";
import { meshProjection } from "../../src/projections/projection.ts";
import { meshStateCodec } from "../../src/projections/state-codec.ts";
import { diffStates } from "../../src/replay/diff.ts";
import { changeLine, readLine } from "../../src/replay/export.ts";
import { changeAfter } from "../events/scenario.ts";
import { type CommandHistory, commandHistories } from "./command-history.ts";

const RUNS = { numRuns: 60 };
const histories = commandHistories(10);

/** All that can be told of a state, as one text. */
const textOf = (state: MeshState): string => canonicalJson(meshStateCodec.toJson(state));

const endOf = ({ states }: CommandHistory): MeshState => states.at(-1) ?? INITIAL_STATE;

/** Every service's snapshot, to the byte. */
function snapshotsOf(state: MeshState): string[] {
  return [...declaredServices(state)].sort().map((ref) => {
    const service = parseServiceRef(ref);
    const snapshot = service && compileSnapshot(state, service);
    if (snapshot === undefined) throw new Error(`no snapshot of ${ref}`);
    return new TextDecoder().decode(encodeSnapshot(snapshot));
  });
}

const documentsText = (state: MeshState): string => canonicalJson(documentsOf(state).map(({ document }) => document));

describe("for any history of commands", () => {
  test("folding all of it is folding what came after a checkpoint, from anywhere", () => {
    fc.assert(
      fc.property(histories, fc.nat(), (history, pick) => {
        const { changes, states } = history;
        const state = states[pick % states.length] ?? INITIAL_STATE;
        const bytes = encodeCheckpoint(meshProjection, meshStateCodec, { revision: state.revision, hash: "h", state });
        const checkpoint = decodeCheckpoint(meshProjection, meshStateCodec, bytes);
        if (!checkpoint.ok) throw new Error(checkpoint.error);
        const resumed = foldAll(changes.slice(state.revision), checkpoint.value.state);
        expect(textOf(resumed)).toBe(textOf(foldAll(changes)));
        expect(textOf(resumed)).toBe(textOf(endOf(history)));
        expect(snapshotsOf(resumed)).toEqual(snapshotsOf(endOf(history)));
      }),
      RUNS,
    );
  });

  test("after a rollback to a revision, nothing differs from it", () => {
    fc.assert(
      fc.property(histories, fc.nat(), (history, pick) => {
        const target = history.states[pick % history.states.length] ?? INITIAL_STATE;
        let state = endOf(history);
        for (const namespace of ["shop", "bank"]) {
          if (diffStates(state, target, { namespace }).events.length === 0) continue;
          const body = { kind: "rollback", toRevision: target.revision } as const;
          const decision = decide(state, { namespace, body }, { target });
          if (!decision.ok) throw new Error(JSON.stringify(decision.error));
          state = foldChange(state, changeAfter(state, namespace, decision.value.events));
          expect(diffStates(target, state, { namespace }).lines).toEqual([]);
        }
      }),
      RUNS,
    );
  });

  test("a revert of the last change is the state before it", () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { states, changes } = history;
        const [before, after] = [states.at(-2), states.at(-1)];
        const last = changes.at(-1);
        if (before === undefined || after === undefined || last === undefined || last.namespace === "_mesh") return;
        const body = { kind: "revert", revision: last.revision } as const;
        const decision = decide(after, { namespace: last.namespace, body }, { reverted: { before, after } });
        if (!decision.ok) throw new Error(JSON.stringify(decision.error));
        const next = foldChange(after, changeAfter(after, last.namespace, decision.value.events));
        expect(documentsText(next)).toBe(documentsText(before));
      }),
      RUNS,
    );
  });

  test("what is exported is what comes in again: bytes, digests and snapshots", () => {
    fc.assert(
      fc.property(histories, ({ changes }) => {
        let [exported, imported] = [FIRST_MARK, FIRST_MARK];
        const again = changes.map((recorded) => {
          const bytes = encodeChange(recorded.change);
          const read = readLine(changeLine(recorded, bytes), recorded.revision);
          if (read.kind !== "change") throw new Error(read.kind);
          expect(Buffer.compare(read.bytes, bytes)).toBe(0);
          exported = advanceMark(exported, recorded);
          imported = advanceMark(imported, read.recorded);
          return read.recorded;
        });
        expect(imported).toEqual(exported);
        expect(snapshotsOf(foldAll(again))).toEqual(snapshotsOf(foldAll(changes)));
      }),
      RUNS,
    );
  });

  test("the order in which names entered a map never matters", () => {
    fc.assert(
      fc.property(histories, (history) => {
        const state = endOf(history);
        const other = reversed(state);
        expect(snapshotsOf(other)).toEqual(snapshotsOf(state));
        expect(documentsText(other)).toBe(documentsText(state));
        expect(textOf(other)).toBe(textOf(state));
        expect(diffStates(state, other).lines).toEqual([]);
      }),
      RUNS,
    );
  });

  test("histories are none too simple", () => {
    const all = fc.sample(histories, { seed: 7, numRuns: 100 });
    const types = new Set(
      all.flatMap(({ changes }) => changes.flatMap(({ change }) => change.data.events.map(({ type }) => type))),
    );
    for (const type of ["RolledBack", "ChangeReverted", "TrafficShifted", "AccessRevoked", "ServiceRemoved"] as const) {
      expect(types).toContain(type);
    }
  });
});

/** The same state with every map's and every object's names in the opposite order. */
function reversed<T>(value: T): T {
  if (value instanceof Map) return new Map([...value].reverse().map(([key, entry]) => [key, reversed(entry)])) as T;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, field]) => [name, reversed(field)]),
  ) as T;
}
