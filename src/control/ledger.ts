/**
 * The ledger as a control replica uses it: the state as of its end, and conditional appends that continue the chain of
 * hashes. The only place of the control plane that writes history.
 */

import {
  CHANGE_SCHEMA,
  CHANGE_TYPE,
  type Change,
  type ChangeData,
  FIRST_PREVIOUS,
  type RecordedChange,
} from "../events/change.ts";
import type { AppendConflict, EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import type { Result } from "../policy/result.ts";
import type { RunningProjection } from "../projections/runner.ts";
import { SharedLook } from "./shared-look.ts";

/** How far the own projection may be behind the log before a command is turned away. */
const CATCH_UP_TIMEOUT_MS = 10_000;

/** The CloudEvents source of every change that the control plane writes. */
const SOURCE = "heddle/control";

/** What a change says, before it has a place in the chain. */
export type ChangeDraft = Pick<ChangeData, "actor" | "reason" | "command" | "events">;

export interface LedgerOptions {
  readonly log: EventLog;
  readonly projection: RunningProjection<MeshState>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A new unique id for each change. */
  readonly newId: () => string;
}

/** The last change of a namespace, as its successor names it. */
interface Head {
  readonly revision: number;
  readonly hash: string;
}

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #heads = new Map<string, Head>();
  /** The last revision: asked once for all who join or command at the same time. */
  readonly #end: SharedLook<number>;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#end = new SharedLook(() => options.log.lastRevision());
  }

  /** For reading history. */
  get log(): Pick<EventLog, "read" | "lastRevision"> {
    return this.#options.log;
  }

  /** The state that includes every change recorded before the call. Rejects when the log is out of reach. */
  async latest(): Promise<MeshState> {
    await this.folded(await this.#end.look());
    return this.#options.projection.state;
  }

  /** Resolves once the own projection includes the change; rejects when it is too far behind, or has failed. */
  async folded(revision: number): Promise<void> {
    const { projection } = this.#options;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new Error(`this replica is behind: it has folded ${projection.revision} of ${revision} changes`));
    }, CATCH_UP_TIMEOUT_MS);
    await Promise.race([projection.caughtUp(revision), late.promise]).finally(() => clearTimeout(timer));
  }

  /**
   * Records a change of a namespace, provided that nothing has happened in it since `basis`, which the change was
   * decided on. Rejects when the log is out of reach: the change may then be recorded or not.
   */
  async append(
    basis: MeshState,
    namespace: string,
    draft: ChangeDraft,
  ): Promise<Result<RecordedChange, AppendConflict>> {
    const { log, now, newId } = this.#options;
    const expected = namespaceRevision(basis, namespace);
    const previous = await this.#hashAt(namespace, expected);
    const change = composeChange(draft, { namespace, id: newId(), nowMs: now(), previous });
    const appended = await log.append(change, expected);
    if (appended.ok) this.#heads.set(namespace, appended.value);
    return appended;
  }

  /** Changes of a namespace after one revision and up to another, the last `max` of them. */
  async changesBetween(namespace: string, after: number, upTo: number, max: number): Promise<RecordedChange[]> {
    const changes: RecordedChange[] = [];
    if (upTo <= after) return changes;
    for await (const change of this.#options.log.read({ from: after + 1, to: upTo, namespace })) {
      changes.push(change);
      if (changes.length > max) changes.shift();
    }
    return changes;
  }

  /** Hash of the namespace's change of that revision, which is its last one as far as we know. */
  async #hashAt(namespace: string, revision: number): Promise<string> {
    if (revision === 0) return FIRST_PREVIOUS;
    const head = this.#heads.get(namespace);
    if (head?.revision === revision) return head.hash;
    for await (const recorded of this.#options.log.read({ from: revision, to: revision })) {
      this.#heads.set(namespace, { revision, hash: recorded.hash });
      return recorded.hash;
    }
    throw new Error(`the log does not hold revision ${revision}, which was folded before`);
  }
}

interface ChangePlace {
  readonly namespace: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Hash of the namespace's last change. */
  readonly previous: string;
}

/** The envelope that the ledger stores. */
export function composeChange(draft: ChangeDraft, { namespace, id, nowMs, previous }: ChangePlace): Change {
  const { actor } = draft;
  return {
    specversion: "1.0",
    id,
    source: SOURCE,
    type: CHANGE_TYPE,
    time: new Date(nowMs).toISOString(),
    subject: namespace,
    datacontenttype: "application/json",
    authtype: actor.publicKey === undefined ? "system" : "user",
    authid: actor.publicKey ?? actor.name,
    data: { schema: CHANGE_SCHEMA, ...draft, previous },
  };
}

/** Revision of a namespace's last change; 0 where there is none. */
export function namespaceRevision(state: MeshState, namespace: string): number {
  return state.namespaces.get(namespace)?.revision ?? 0;
}
