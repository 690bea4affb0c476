/** A short history of two namespaces, in a real log. */

import { FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { decide } from "../../src/events/decide.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { MemoryLog } from "../../src/events/memory-log.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { mustAppend, sampleChange } from "../contracts/event-log.ts";
import { document, service } from "../events/scenario.ts";

export const mesh = (mtls: string): PolicyDocument =>
  document("Mesh", "_mesh/default", { trustDomain: "mesh.local", mtls, access: "deny" });
export const canary = (v1: number, v2: number): PolicyDocument =>
  document("Route", "shop/catalog", {
    service: "catalog",
    rules: [
      {
        backends: [
          { subset: "v1", weight: v1 },
          { subset: "v2", weight: v2 },
        ],
      },
    ],
  });
export const front = (...from: string[]): PolicyDocument =>
  document("AccessPolicy", "shop/front", { service: "catalog", rules: [{ allow: { from } }] });
const tellers = document("AccessPolicy", "bank/tellers", {
  service: "vault",
  rules: [{ allow: { from: ["shop/web"] } }],
});
const limit = document("RateLimit", "shop/catalog", { service: "catalog", rules: [{ requests: 9, per: "1s" }] });

interface Step {
  readonly namespace: string;
  readonly actor: string;
  readonly reason: string;
  readonly command: CommandBody | { readonly events: DomainEvent[] };
}

const apply = (...documents: PolicyDocument[]): CommandBody => ({ kind: "apply", documents });

/** Revision n is at index n - 1, and happened n minutes after midnight. */
const STEPS: Step[] = [
  {
    namespace: "_mesh",
    actor: "root",
    reason: "first start",
    command: {
      events: [
        { type: "RootAdded", fingerprint: "ab", pem: "A" },
        { type: "RootActivated", fingerprint: "ab" },
      ],
    },
  },
  { namespace: "_mesh", actor: "root", reason: "", command: apply(mesh("permissive")) },
  {
    namespace: "shop",
    actor: "alice",
    reason: "launch",
    command: apply(service("shop/web"), service("shop/catalog", ["v1", "v2"]), canary(90, 10), front("shop/web")),
  },
  { namespace: "bank", actor: "bob", reason: "vault", command: apply(service("bank/vault"), tellers) },
  {
    namespace: "shop",
    actor: "alice",
    reason: "canary looks good",
    command: { kind: "shift", service: { namespace: "shop", name: "catalog" }, percent: { v2: 50 } },
  },
  { namespace: "shop", actor: "bob", reason: "", command: apply(limit) },
  { namespace: "_mesh", actor: "root", reason: "", command: apply(mesh("strict")) },
  { namespace: "shop", actor: "alice", reason: "errors", command: { kind: "rollback", toRevision: 3 } },
];

export interface Ledger {
  readonly log: MemoryLog;
  readonly changes: readonly RecordedChange[];
  /** The state after each revision; at index 0 the beginning. */
  readonly states: readonly MeshState[];
}

export async function ledger(): Promise<Ledger> {
  const log = new MemoryLog();
  const states: MeshState[] = [INITIAL_STATE];
  const changes: RecordedChange[] = [];
  const previous = new Map<string, string>();
  for (const [index, { namespace, actor, reason, command }] of STEPS.entries()) {
    const state = states.at(-1) ?? INITIAL_STATE;
    const sample = sampleChange(namespace, `step-${index}`, previous.get(namespace) ?? FIRST_PREVIOUS);
    const time = new Date(Date.UTC(2026, 0, 1, 0, index + 1)).toISOString();
    const events = eventsOf(state, namespace, command, states);
    const change = { ...sample, time, data: { ...sample.data, actor: { name: actor }, reason, events } };
    const recorded = await mustAppend(log, change, state.namespaces.get(namespace)?.revision ?? 0);
    previous.set(namespace, recorded.hash);
    changes.push(recorded);
    states.push(foldChange(state, recorded));
  }
  return { log, changes, states };
}

function eventsOf(
  state: MeshState,
  namespace: string,
  command: Step["command"],
  states: readonly MeshState[],
): DomainEvent[] {
  if ("events" in command) return command.events;
  const target = command.kind === "rollback" ? states[command.toRevision] : undefined;
  const result = decide(state, { namespace, body: command }, { target });
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return [...result.value.events];
}
