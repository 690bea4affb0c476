/**
 * Whether a ledger is what it claims to be: nothing edited, dropped, put elsewhere or slipped in, every change asked for
 * by an operator who could, and all that was noted earlier still in its place. Pure: where the changes come from, and
 * how signatures are checked, is passed in.
 */

import { type ChainProblem, verifyChain } from "../events/chain.ts";
import { FIRST_PREVIOUS, type RecordedChange } from "../events/change.ts";
import { evolveRoots, isRootEvent, type Roots } from "../events/evolve-roots.ts";
import { advanceMark, FIRST_MARK, isSameMark, type LedgerMark } from "../events/ledger-mark.ts";
import type { Operator } from "../events/state.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";

/** Something that the ledger holds and that cannot be read. */
export interface UnreadableChange {
  readonly revision: number;
  readonly unreadable: string;
  /** There is nothing at all at its place. */
  readonly missing?: true;
}

export interface ProofProblem {
  /**
   * - `edited`, `dropped`, `reordered`, `duplicated`: the chain or the numbering is broken there.
   * - `forged`: the signature is not the operator's, or the change is not what was signed.
   * - `stranger`: the key that signed could not change that namespace.
   * - `unsigned`: nobody signed what only an operator may do.
   * - `unreadable`: it is no change that this program understands.
   * - `truncated`: the end is missing.
   */
  readonly kind: ChainProblem["kind"] | "forged" | "stranger" | "unsigned" | "unreadable" | "truncated";
  readonly revision: number;
  readonly message: string;
}

export interface NamespaceHead {
  readonly revision: number;
  readonly hash: string;
}

/** What was noted of a ledger at an earlier time. */
export interface NotedLedger {
  readonly mark: LedgerMark;
  /** Hash of the very first change: which ledger it is. */
  readonly first?: string;
  /** The last change of each namespace as of then: with these a rewritten place is found more closely. */
  readonly heads?: ReadonlyMap<string, NamespaceHead>;
}

/** What is known of a ledger at the end of a part that was proved: the proof can go on from there. */
export interface ProvedPart {
  readonly mark: LedgerMark;
  readonly heads: ReadonlyMap<string, NamespaceHead>;
  /** Operators by key. */
  readonly operators: ReadonlyMap<string, KnownOperator>;
  /** Whether roots were being changed. */
  readonly isRotating: boolean;
}

export interface VerifyOptions {
  readonly noted?: readonly NotedLedger[];
  /** What comes before the first change, where that is not the first of all. */
  readonly base?: LedgerMark;
  /** Likewise, where it was proved before; the changes are those after it. */
  readonly proved?: ProvedPart;
  readonly signatureOf: (recorded: RecordedChange) => "verified" | "invalid" | "none";
  /** In words, what of a change is not what was signed. */
  readonly mismatchOf: (recorded: RecordedChange) => string | undefined;
}

export interface Verification extends ProvedPart {
  /** By revision; empty: the ledger is what it claims to be. */
  readonly problems: readonly ProofProblem[];
  readonly changes: number;
  /** Changes that bear a valid signature. */
  readonly signed: number;
  /** The end of the ledger, to be noted. */
  readonly mark: LedgerMark;
  readonly heads: ReadonlyMap<string, NamespaceHead>;
  /** What is in order and worth knowing. */
  readonly notes: readonly Remark[];
  /** Operators by key, as the ledger knows them; who was revoked stays. */
  readonly operators: ReadonlyMap<string, KnownOperator>;
  readonly isRotating: boolean;
}

interface Remark {
  readonly revision: number;
  readonly message: string;
}

export interface KnownOperator extends Operator {
  /** Milliseconds since the epoch; undefined while they may act. */
  readonly revokedMs: number | undefined;
}

/** What was decided before a revocation may be recorded after it, in another namespace. */
const REVOCATION_SLACK_MS = 60_000;

/** Reads everything once, in the order in which it is stored. */
export async function verifyLedger(
  entries: Iterable<RecordedChange | UnreadableChange> | AsyncIterable<RecordedChange | UnreadableChange>,
  options: VerifyOptions,
): Promise<Verification> {
  const check = new Check(options);
  const before = options.proved === undefined ? {} : { before: options.proved.heads };
  const chain = await verifyChain(check.read(entries), { partial: options.base !== undefined, ...before });
  return check.conclude(chain.problems);
}

class Check {
  readonly #problems: ProofProblem[] = [];
  readonly #notes: Remark[] = [];
  readonly #heads: Map<string, NamespaceHead>;
  readonly #operators: Map<string, KnownOperator>;
  /** Marks and heads that were noted, as the ledger has them now. */
  readonly #marks = new Map<number, LedgerMark>();
  readonly #hashes = new Map<number, string>();
  readonly #wanted: ReadonlySet<number>;
  /** Digests of the commands that were signed, with the revision of each. */
  readonly #commands = new Map<string, number>();
  /** What says whether an operator has started a change of roots that has not ended; called off, it still has to. */
  #roots: Roots = { roots: new Map(), rotation: undefined };
  /** Part of a ledger does not tell what was begun before it begins. */
  #mayBeRotating: boolean;
  #mark: LedgerMark;
  #last: number;
  #first: string | undefined;
  #changes = 0;
  #signed = 0;

  constructor(private readonly options: VerifyOptions) {
    const { noted = [], proved } = options;
    this.#mark = this.#base;
    this.#last = this.#base.revision;
    this.#heads = new Map(proved?.heads);
    this.#operators = new Map(proved?.operators);
    this.#mayBeRotating = options.base !== undefined || proved?.isRotating === true;
    const heads = noted.flatMap(({ heads: known }) => [...(known?.values() ?? [])]);
    this.#wanted = new Set([...noted.map(({ mark }) => mark.revision), ...heads.map(({ revision }) => revision)]);
  }

  get #base(): LedgerMark {
    return this.options.proved?.mark ?? this.options.base ?? FIRST_MARK;
  }

  /** The changes that can be read, each looked at on its way. */
  async *read(
    entries: Iterable<RecordedChange | UnreadableChange> | AsyncIterable<RecordedChange | UnreadableChange>,
  ): AsyncGenerator<RecordedChange> {
    for await (const entry of entries) {
      this.#number(entry);
      if ("unreadable" in entry) {
        this.#say(entry.missing === true ? "dropped" : "unreadable", entry.revision, entry.unreadable);
        continue;
      }
      this.#look(entry);
      yield entry;
    }
  }

  conclude(chain: readonly ChainProblem[]): Verification {
    for (const { kind, revision, message } of chain) this.#problems.push({ kind, revision, message });
    for (const noted of this.options.noted ?? []) this.#compare(noted);
    return {
      problems: distinct(this.#problems),
      changes: this.#changes,
      signed: this.#signed,
      mark: this.#mark,
      heads: this.#heads,
      operators: this.#operators,
      isRotating: this.#isRotating,
      notes: this.#notes,
    };
  }

  /** Revisions are dense over all namespaces together. */
  #number({ revision }: { readonly revision: number }): void {
    const last = this.#last;
    this.#last = Math.max(last, revision);
    const expected = last + 1;
    if (revision === expected) return;
    if (revision <= last) {
      this.#say("reordered", revision, `revision ${revision} stands after revision ${last}`);
    } else {
      const missing = revision - expected === 1 ? `revision ${expected}` : `revisions ${expected} to ${revision - 1}`;
      this.#say("dropped", expected, `${missing}: not there, though revision ${revision} is`);
    }
  }

  #look(recorded: RecordedChange): void {
    const { revision, namespace, hash } = recorded;
    this.#changes += 1;
    if (revision === 1) this.#first = hash;
    this.#mark = advanceMark(this.#mark, recorded);
    if (this.#wanted.has(revision)) {
      this.#marks.set(revision, this.#mark);
      this.#hashes.set(revision, hash);
    }
    this.#heads.set(namespace, { revision, hash });
    this.#authorship(recorded);
    this.#learn(recorded);
  }

  #authorship(recorded: RecordedChange): void {
    const { revision } = recorded;
    const { name, publicKey } = recorded.change.data.actor;
    const signature = this.options.signatureOf(recorded);
    if (signature === "invalid") {
      this.#say("forged", revision, `revision ${revision} is not signed by ${name}, whom it names`);
      return;
    }
    if (signature === "none") {
      const needs = this.#unsignedNeeds(recorded);
      if (needs !== undefined) this.#say("unsigned", revision, `revision ${revision} bears no signature, and ${needs}`);
      return;
    }
    this.#signed += 1;
    this.#once(recorded);
    const mismatch = this.options.mismatchOf(recorded);
    if (mismatch !== undefined) this.#say("forged", revision, `revision ${revision} was altered: ${mismatch}`);
    const stranger = this.#strangeness(recorded, publicKey ?? "");
    if (stranger !== undefined) this.#say("stranger", revision, `revision ${revision}: ${stranger}`);
  }

  /** A signature is no proof that its command was meant again: a grant that was revoked since would come back by it. */
  #once({ revision, change }: RecordedChange): void {
    const { digest } = change.data.command;
    const before = this.#commands.get(digest);
    if (before === undefined) this.#commands.set(digest, revision);
    else
      this.#say(
        "duplicated",
        revision,
        `revision ${revision} carries out again what was signed for revision ${before}`,
      );
  }

  /** The control plane begins a ledger, counts and rotates; what is policy or power, somebody signs. */
  #unsignedNeeds({ revision, namespace, change }: RecordedChange): string | undefined {
    const isFirst = namespace === MESH_NAMESPACE && change.data.previous === FIRST_PREVIOUS;
    if (isFirst) return undefined;
    if (isAdoption(change)) {
      this.#notes.push({ revision, message: ADOPTED });
      return undefined;
    }
    for (const { type } of change.data.events) {
      if (OWN_EVENTS.has(type) || (ROTATION_STEPS.has(type) && this.#isRotating)) continue;
      return ROTATION_STEPS.has(type) ? "nobody had started to change roots" : `${type} is for operators only`;
    }
    return undefined;
  }

  get #isRotating(): boolean {
    return this.#mayBeRotating || this.#roots.rotation !== undefined;
  }

  #strangeness({ namespace, change }: RecordedChange, publicKey: string): string | undefined {
    // Part of a ledger does not tell who was an operator before it begins.
    if (this.options.base !== undefined && !this.#operators.has(publicKey)) return undefined;
    const operator = this.#operators.get(publicKey);
    const { name } = change.data.actor;
    if (operator === undefined) return `no operator has the key ${publicKey}, which signed as ${name}`;
    if (operator.name !== name) return `the key is ${operator.name}'s, and signed as ${name}`;
    const { role, namespaces, revokedMs } = operator;
    if (revokedMs !== undefined && Date.parse(change.time) > revokedMs + REVOCATION_SLACK_MS) {
      return `${name} was no operator any more`;
    }
    const may = role === "admin" || (role === "editor" && namespaces.includes(namespace));
    return may ? undefined : `${name} is ${role} and could not change ${namespace}`;
  }

  #learn({ namespace, revision, change }: RecordedChange): void {
    if (namespace !== MESH_NAMESPACE) return;
    const origin = { revision, actor: change.data.actor.name, time: change.time };
    for (const event of change.data.events) {
      if (isRootEvent(event)) {
        this.#roots = evolveRoots(this.#roots, event, origin);
        if (event.type === "RootRetired") this.#mayBeRotating = false;
      } else if (event.type === "OperatorAdded") {
        const { name, publicKey, role, namespaces } = event;
        this.#operators.set(publicKey, { name, publicKey, role, namespaces, revokedMs: undefined });
      } else if (event.type === "OperatorRevoked") {
        const known = this.#operators.get(event.publicKey);
        if (known !== undefined) this.#operators.set(event.publicKey, { ...known, revokedMs: Date.parse(change.time) });
      }
    }
  }

  /** What was noted against what is there; the nearest place that tells is named. */
  #compare({ mark, first, heads }: NotedLedger): void {
    const base = this.#base;
    if (first !== undefined && base.revision === 0 && first !== this.#first) {
      this.#say("edited", 1, "revision 1 is another one than when it was noted: this is not the same ledger");
      return;
    }
    if (mark.revision <= base.revision) return;
    if (mark.revision > this.#mark.revision) {
      const message = `the ledger ends at revision ${this.#mark.revision}, and had revision ${mark.revision} when it was noted`;
      this.#say("truncated", this.#mark.revision, message);
      return;
    }
    const found = this.#marks.get(mark.revision);
    if (found !== undefined && isSameMark(mark, found)) return;
    let located = false;
    for (const [namespace, { revision, hash }] of heads ?? []) {
      if (revision <= base.revision || this.#hashes.get(revision) === hash) continue;
      located = true;
      const message = `revision ${revision} is not what it was when it was noted: the history of ${namespace} was rewritten there or before`;
      this.#say("edited", revision, message);
    }
    if (located) return;
    const message = `the ledger up to revision ${mark.revision} is not what it was when it was noted: it was rewritten there or before`;
    this.#say("edited", mark.revision, message);
  }

  #say(kind: ProofProblem["kind"], revision: number, message: string): void {
    this.#problems.push({ kind, revision, message });
  }
}

/** How a ledger comes under another authority and operator, whose keys it did not know when it was written. */
export const ADOPTION_COMMAND = "adopt";
const ADOPTED =
  "the ledger was taken over by another mesh here, whose operator and root nobody of the former one signed";

function isAdoption({ data, subject }: RecordedChange["change"]): boolean {
  const types = new Set(["OperatorAdded", "RootAdded", "RootActivated"]);
  return (
    subject === MESH_NAMESPACE &&
    data.command.kind === ADOPTION_COMMAND &&
    data.events.every(({ type }) => types.has(type))
  );
}

/** Steps of a change of roots, which the control plane takes once an operator has started it. */
const ROTATION_STEPS: ReadonlySet<string> = new Set(["RootAdded", "RootActivated", "RootRetired"]);
/** What the control plane does on its own at any time: counts what joins, and ends what had its end said. */
const OWN_EVENTS: ReadonlySet<string> = new Set(["TokenUsed", "FaultCleared"]);

/** By revision; what two checks say of one change in the same words is said once. */
function distinct(problems: readonly ProofProblem[]): ProofProblem[] {
  const byText = new Map(
    problems.map((problem) => [`${problem.kind} ${problem.revision} ${problem.message}`, problem]),
  );
  return [...byText.values()].sort((a, b) => a.revision - b.revision);
}
