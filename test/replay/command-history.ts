/** Random histories of commands, decided as the control plane decides them; what would be refused does not happen. */

import fc from "fast-check";
import type { CommandBody } from "../../src/events/commands.ts";
import { decide } from "../../src/events/decide.ts";
import { documentsOf } from "../../src/events/documents.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { meshDocument, namespaceDocuments } from "../events/arbitraries.ts";
import { TestLedger } from "../support/ledger.ts";

export interface CommandHistory {
  readonly changes: TestLedger["changes"];
  /** The state after each revision; at index 0 the beginning. */
  readonly states: readonly MeshState[];
}

type Move =
  | { readonly kind: "apply"; readonly namespace: string; readonly documents: readonly PolicyDocument[] }
  | { readonly kind: "delete" | "shift" | "rollback" | "revert"; readonly namespace: string; readonly pick: number }
  | { readonly kind: "access"; readonly namespace: string; readonly pick: number; readonly from: string };

const NAMESPACES = ["shop", "bank"] as const;
const namespace = fc.constantFrom(...NAMESPACES);

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 4,
    arbitrary: namespace.chain((name) =>
      fc.record({
        kind: fc.constant("apply" as const),
        namespace: fc.constant(name),
        documents: namespaceDocuments(name),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("apply" as const),
      namespace: fc.constant("_mesh"),
      documents: meshDocument.map((document) => [document]),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom("delete", "shift", "rollback", "revert" as const),
      namespace,
      pick: fc.nat(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("access" as const),
      namespace,
      pick: fc.nat(),
      from: fc.constantFrom("shop/*", "bank/teller", "*"),
    }),
  },
);

/** A history of up to so many changes; the first opens a namespace. */
export function commandHistories(changesMax: number): fc.Arbitrary<CommandHistory> {
  const open = namespaceDocuments("shop").map((documents): Move => ({ kind: "apply", namespace: "shop", documents }));
  return fc.tuple(open, fc.array(move, { maxLength: changesMax - 1 })).map(([first, rest]) => played([first, ...rest]));
}

function played(moves: readonly Move[]): CommandHistory {
  const ledger = new TestLedger();
  const states = [INITIAL_STATE];
  for (const next of moves) {
    const body = commandOf(next, ledger.state);
    if (body === undefined) continue;
    const decision = decide(ledger.state, { namespace: next.namespace, body }, contextOf(body, states));
    if (!decision.ok || decision.value.events.length === 0) continue;
    ledger.record(next.namespace, [...decision.value.events]);
    states.push(ledger.state);
  }
  return { changes: ledger.changes, states };
}

function commandOf(move: Move, state: MeshState): CommandBody | undefined {
  if (move.kind === "apply") return { kind: "apply", documents: [...move.documents] };
  const { namespace: within, pick } = move;
  if (move.kind === "rollback") return { kind: "rollback", toRevision: pick % (state.revision + 1) };
  if (move.kind === "revert") return { kind: "revert", revision: 1 + (pick % Math.max(1, state.revision)) };
  const documents = documentsOf(state, { namespace: within });
  const picked = documents[pick % Math.max(1, documents.length)];
  if (picked === undefined) return undefined;
  const service = { namespace: within, name: picked.key.split("/")[2] ?? "" };
  switch (move.kind) {
    case "delete":
      return { kind: "delete", keys: [picked.key] };
    case "shift":
      return { kind: "shift", service, percent: { v1: pick % 101 } };
    case "access":
      return { kind: "access", service, policy: "by-hand", rule: { allow: { from: [move.from] } } };
    default:
      return undefined;
  }
}

/** What a rollback or a revert is decided with. */
function contextOf(body: CommandBody, states: readonly MeshState[]) {
  if (body.kind === "rollback") return { target: states[body.toRevision] };
  if (body.kind !== "revert") return {};
  const [before, after] = [states[body.revision - 1], states[body.revision]];
  return before === undefined || after === undefined ? {} : { reverted: { before, after } };
}
