/** A ledger to write test histories with: commands are decided as the control plane decides them, then recorded. */

import { encodeChange, recordedChange, sha256Hex } from "../../src/events/chain.ts";
import { CHANGE_TYPE, type Change, FIRST_PREVIOUS, type RecordedChange } from "../../src/events/change.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import { decide } from "../../src/events/decide.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { MESH_NAMESPACE } from "../../src/policy/names.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";

export class TestLedger {
  readonly #now: (() => number) | undefined;
  readonly changes: RecordedChange[] = [];
  readonly #heads = new Map<string, string>();
  #state: MeshState = INITIAL_STATE;

  /** @param now the time of changes, Unix milliseconds; a day of the past by default, the same at every run. */
  constructor(now?: () => number) {
    this.#now = now;
  }

  get state(): MeshState {
    return this.#state;
  }

  /** Records events as one change of a namespace, whatever they are. */
  record(namespace: string, events: DomainEvent[], actor = "alice"): RecordedChange {
    const revision = this.changes.length + 1;
    const previous = this.#heads.get(namespace) ?? FIRST_PREVIOUS;
    const sample = changeOf(namespace, events, { actor, revision, previous });
    const change = this.#now === undefined ? sample : { ...sample, time: new Date(this.#now()).toISOString() };
    const recorded = recordedChange(encodeChange(change), revision);
    this.changes.push(recorded);
    this.#heads.set(namespace, recorded.hash);
    this.#state = foldChange(this.#state, recorded);
    return recorded;
  }

  /** Decides a command and records what it leads to; fails where it is refused or changes nothing. */
  command(namespace: string, body: CommandBody, actor = "alice"): RecordedChange {
    const decision = decide(this.#state, { namespace, body });
    if (!decision.ok) throw new Error(decision.error.problems.map(({ message }) => message).join("; "));
    return this.record(namespace, [...decision.value.events], actor);
  }

  /** Applies a policy text: one change for what is mesh-wide, one for each namespace. */
  apply(text: string, actor = "alice"): void {
    const parsed = parsePolicy([{ file: "policy.yaml", text }]);
    if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("; "));
    const documents = parsed.value.map(({ document }) => document);
    for (const [namespace, own] of Map.groupBy(documents, namespaceOf)) {
      this.command(namespace, { kind: "apply", documents: own }, actor);
    }
  }
}

/** An envelope around events, as the control plane writes it. */
export function changeOf(
  namespace: string,
  events: DomainEvent[],
  { actor, revision, previous }: { actor: string; revision: number; previous: string },
): Change {
  return {
    specversion: "1.0",
    id: `change-${revision}`,
    source: "heddle/control",
    type: CHANGE_TYPE,
    time: new Date(Date.UTC(2026, 0, 1) + revision * 1_000).toISOString(),
    subject: namespace,
    datacontenttype: "application/json",
    authtype: "user",
    authid: actor,
    data: {
      schema: 1,
      actor: { name: actor },
      reason: "",
      command: { kind: "apply", id: `command-${revision}`, digest: sha256Hex(`command-${revision}`) },
      previous,
      events,
    },
  };
}

function namespaceOf(document: PolicyDocument): string {
  return document.kind === "Mesh" ? MESH_NAMESPACE : document.metadata.namespace;
}
