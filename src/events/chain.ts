/**
 * The bytes of changes and the chain that they form: each names the SHA-256 of the one before it in its namespace, so
 * that whoever holds one hash holds the whole history before it.
 */

import { createHash } from "node:crypto";
import { z } from "zod";
import { canonicalJson } from "../policy/canonical.ts";
import { type Change, changeEnvelope, FIRST_PREVIOUS, type RecordedChange } from "./change.ts";
import { domainEvent } from "./domain-events.ts";
import { LogCorruption } from "./log.ts";
import { UpcastError, upcast } from "./upcast.ts";

const EVENT_TYPES: ReadonlySet<string> = new Set(domainEvent.options.map((option) => option.shape.type.value));

/** Just enough of an envelope to tell an unknown event from a malformed one. */
const untrustedEvents = z.object({ data: z.object({ events: z.array(z.object({ type: z.string() })) }) });

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Lower-case hex. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The bytes that the log stores: canonical JSON in UTF-8, so that the same change has the same hash everywhere. */
export function encodeChange(change: Change): Uint8Array {
  return new TextEncoder().encode(canonicalJson(change));
}

/**
 * A change from stored bytes, upcast to the present schema.
 * @throws LogCorruption for anything that this program does not understand to the letter.
 */
export function decodeChange(bytes: Uint8Array, revision: number): Change {
  const json = parseJson(bytes, revision);
  const envelope = upcastAt(json, revision);
  const parsed = changeEnvelope.safeParse(envelope);
  if (parsed.success) return parsed.data;
  const unknown = unknownEventType(envelope);
  if (unknown !== undefined) {
    throw new LogCorruption(
      revision,
      `event type ${JSON.stringify(unknown)} is unknown to this program: upgrade heddle`,
    );
  }
  const [issue] = parsed.error.issues;
  throw new LogCorruption(revision, `${issue?.path.join(".") || "change"}: ${issue?.message ?? "is not valid"}`);
}

/** A change as it stands in a log: decoded, and hashed as stored. Throws as `decodeChange` does. */
export function recordedChange(bytes: Uint8Array, revision: number): RecordedChange {
  const change = decodeChange(bytes, revision);
  return { revision, namespace: change.subject, change, hash: sha256Hex(bytes) };
}

/** Something that cannot be in a chain that nobody tampered with. */
export interface ChainProblem {
  readonly kind: "edited" | "dropped" | "reordered" | "duplicated";
  /** Where it shows. */
  readonly revision: number;
  readonly namespace: string;
  readonly message: string;
}

/** What a check of the chain found. */
export interface ChainReport {
  readonly problems: readonly ChainProblem[];
  /** Hash of the last change by namespace: noted elsewhere, it lets a later check notice a rewritten end. */
  readonly heads: ReadonlyMap<string, string>;
  readonly changes: number;
}

/** What a check starts from, and what it compares with. */
export interface ChainCheck {
  /** The log is read from somewhere in its middle: the first change of each namespace is taken at its word. */
  readonly partial?: boolean;
  /** The last change of each namespace before the log that is read, where that is known. */
  readonly before?: ReadonlyMap<string, { readonly revision: number; readonly hash: string }>;
  /** Heads noted earlier: each hash must still occur in its namespace. */
  readonly heads?: ReadonlyMap<string, string>;
}

/** What the check keeps of each change; memory is about 300 bytes a change. */
interface Link {
  readonly revision: number;
  readonly namespace: string;
  readonly hash: string;
  readonly previous: string;
}

/**
 * Checks that every change names the one before it in its namespace, over a log read from its beginning (all of it or
 * whole namespaces). `hash` of each must come from the bytes as stored, which is what `recordedChange` does.
 */
export async function verifyChain(
  changes: Iterable<RecordedChange> | AsyncIterable<RecordedChange>,
  check: ChainCheck = {},
): Promise<ChainReport> {
  const byNamespace = new Map<string, Link[]>();
  const revisions = new Set<number>();
  let count = 0;
  for await (const { revision, namespace, hash, change } of changes) {
    const links = byNamespace.get(namespace);
    const link = { revision, namespace, hash, previous: change.data.previous };
    if (links === undefined) byNamespace.set(namespace, [link]);
    else links.push(link);
    revisions.add(revision);
    count += 1;
  }
  const problems: ChainProblem[] = [];
  for (const [namespace, links] of byNamespace) {
    const known = check.before?.get(namespace);
    const before = known && { ...known, namespace, previous: "" };
    problems.push(...namespaceProblems(links, revisions, check.partial === true, before));
  }
  for (const [namespace, hash] of check.heads ?? []) {
    if (byNamespace.get(namespace)?.some((link) => link.hash === hash)) continue;
    const last = byNamespace.get(namespace)?.at(-1)?.revision ?? 0;
    const message = `no change has the hash ${hash} that was noted earlier: the end of the history was rewritten`;
    problems.push({ kind: "edited", revision: last, namespace, message });
  }
  problems.sort((a, b) => a.revision - b.revision);
  const heads = new Map(
    Array.from(byNamespace, ([namespace, links]) => [namespace, links.at(-1)?.hash ?? FIRST_PREVIOUS]),
  );
  return { problems, heads, changes: count };
}

function namespaceProblems(
  links: readonly Link[],
  revisions: ReadonlySet<number>,
  partial: boolean,
  known: Link | undefined,
): ChainProblem[] {
  const byHash = new Map<string, Link>();
  for (const link of links) if (!byHash.has(link.hash)) byHash.set(link.hash, link);
  const problems: ChainProblem[] = [];
  let before = known;
  for (const link of links) {
    const first = byHash.get(link.hash);
    if (first !== undefined && first !== link) {
      problems.push(problem("duplicated", link, `is revision ${first.revision} over again`));
      // The copy takes no place in the chain: what follows names the original's successor.
      continue;
    }
    const found = partial && before === undefined ? undefined : linkProblem(link, before, byHash, revisions);
    if (found !== undefined) problems.push(found);
    before = link;
  }
  return problems;
}

function linkProblem(
  link: Link,
  before: Link | undefined,
  byHash: ReadonlyMap<string, Link>,
  revisions: ReadonlySet<number>,
): ChainProblem | undefined {
  if (before !== undefined && link.revision <= before.revision) {
    return problem("reordered", link, `stands after revision ${before.revision}`);
  }
  if (link.previous === (before?.hash ?? FIRST_PREVIOUS)) return undefined;
  const named = byHash.get(link.previous);
  if (named !== undefined || link.previous === FIRST_PREVIOUS) {
    const predecessor = named === undefined ? "itself the first" : `revision ${named.revision} its predecessor`;
    return problem("reordered", link, `calls ${predecessor}, and stands after ${nameOf(before)}`);
  }
  if (before === undefined)
    return problem("dropped", link, "is not the first of its namespace: what came before is gone");
  const gap = firstMissing(before.revision, link.revision, revisions);
  if (gap !== undefined) {
    return problem(
      "dropped",
      link,
      `names a predecessor that is gone (between revisions ${before.revision} and ${link.revision}, perhaps ${gap})`,
    );
  }
  return problem(
    "edited",
    before,
    `is not what revision ${link.revision} names as its predecessor: its bytes were changed, or a change after it was taken out`,
  );
}

function problem(kind: ChainProblem["kind"], link: Link, message: string): ChainProblem {
  return { kind, revision: link.revision, namespace: link.namespace, message: `revision ${link.revision} ${message}` };
}

function nameOf(link: Link | undefined): string {
  return link === undefined ? "nothing" : `revision ${link.revision}`;
}

/** Revisions are dense over the whole log, so a hole between two changes is where one was taken out. */
function firstMissing(after: number, before: number, revisions: ReadonlySet<number>): number | undefined {
  for (let revision = after + 1; revision < before; revision++) if (!revisions.has(revision)) return revision;
  return undefined;
}

function parseJson(bytes: Uint8Array, revision: number): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new LogCorruption(revision, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function upcastAt(json: unknown, revision: number): unknown {
  try {
    return upcast(json);
  } catch (cause) {
    if (cause instanceof UpcastError) throw new LogCorruption(revision, cause.message);
    throw cause;
  }
}

/** The first event type that the vocabulary lacks, if that is what is wrong. */
function unknownEventType(envelope: unknown): string | undefined {
  const events = untrustedEvents.safeParse(envelope);
  if (!events.success) return undefined;
  return events.data.data.events.find(({ type }) => !EVENT_TYPES.has(type))?.type;
}
