/** Given / when / then for deciders: states from documents and changes, without a log. */

import { encodeChange, sha256Hex } from "../../src/events/chain.ts";
import { FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import type { CommandBody, Decision, Refusal } from "../../src/events/commands.ts";
import { decide } from "../../src/events/decide.ts";
import { documentsOf } from "../../src/events/documents.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { type PolicyDocument, policyDocument } from "../../src/policy/schema.ts";
import { sampleChange } from "../contracts/event-log.ts";

/** A document in short: `document("Service", "shop/web", { ports: … })`. */
export function document(kind: string, name: string, spec: object): PolicyDocument {
  const [namespace, plain] = name.split("/");
  const metadata = kind === "Mesh" ? { name: "default" } : { namespace, name: plain };
  return policyDocument.parse({ apiVersion: "heddle/v1", kind, metadata, spec });
}

export function service(name: string, subsets: readonly string[] = []): PolicyDocument {
  const selected = Object.fromEntries(subsets.map((subset) => [subset, { version: subset }]));
  return document("Service", name, {
    ports: [{ port: 8080, protocol: "http" }],
    ...(subsets.length === 0 ? {} : { subsets: selected }),
  });
}

/** A change with these events, one revision after the state's. */
export function changeAfter(
  state: MeshState,
  namespace: string,
  events: readonly DomainEvent[],
  { actor = "alice", time = "2026-01-02T03:04:05.000Z", reason = "" } = {},
): RecordedChange {
  const revision = state.revision + 1;
  const sample = sampleChange(namespace, `r${revision}`, FIRST_PREVIOUS);
  const change = { ...sample, time, data: { ...sample.data, actor: { name: actor }, reason, events: [...events] } };
  return { revision, namespace, change, hash: sha256Hex(encodeChange(change)) };
}

export function decided(
  state: MeshState,
  namespace: string,
  body: CommandBody,
  target?: MeshState,
): { decision: Decision; next: MeshState } {
  const result = decide(state, { namespace, body }, { target });
  if (!result.ok) throw new Error(`refused: ${refusalText(result.error)}`);
  const { events } = result.value;
  const next = events.length === 0 ? state : foldChange(state, changeAfter(state, namespace, events));
  return { decision: result.value, next };
}

export function applied(state: MeshState, namespace: string, ...documents: PolicyDocument[]): MeshState {
  return decided(state, namespace, { kind: "apply", documents }).next;
}

/** The state in which exactly these documents hold. */
export function given(...documents: PolicyDocument[]): MeshState {
  return documents.length === 0 ? INITIAL_STATE : applied(INITIAL_STATE, "shop", ...documents);
}

/** Why the command is refused, in one text; fails when it is not. */
export function refused(state: MeshState, namespace: string, body: CommandBody, target?: MeshState): string {
  const result = decide(state, { namespace, body }, { target });
  if (result.ok) throw new Error(`not refused: ${JSON.stringify(result.value)}`);
  return refusalText(result.error);
}

function refusalText({ problems }: Refusal): string {
  return problems.map(({ path, message }) => `${path}: ${message}`).join("\n");
}

/** Types of events in order. */
export function types({ events }: Decision): string {
  return events.map(({ type }) => type).join(" ");
}

/** The documents of a namespace by key, for comparison. */
export function contents(state: MeshState, namespace = "shop"): Record<string, PolicyDocument> {
  return Object.fromEntries(documentsOf(state, { namespace }).map(({ key, document }) => [key, document]));
}

/** The same of documents that are wanted. */
export function contentsOf(documents: readonly PolicyDocument[]): Record<string, PolicyDocument> {
  const key = ({ kind, metadata }: PolicyDocument) =>
    "namespace" in metadata ? `${kind}/${metadata.namespace}/${metadata.name}` : `${kind}/_mesh/${metadata.name}`;
  return Object.fromEntries(documents.map((document) => [key(document), document]));
}
