/** Where the proof of a ledger gets what it reads: from the ledger itself, or from an export. */

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { recordedChange, sha256Hex } from "../../events/chain.ts";
import type { RecordedChange } from "../../events/change.ts";
import { readStored, storedAt } from "../../events/jetstream-log.ts";
import { LogCorruption } from "../../events/log.ts";
import { commandMismatch, signatureState } from "../../events/signature.ts";
import { verify } from "../../nats/keys.ts";
import { subjects } from "../../nats/subjects.ts";
import {
  baseOf,
  type ExportedChange,
  type ExportSeal,
  readLine,
  sealProblems,
  signedText,
} from "../../replay/export.ts";
import {
  type NotedLedger,
  type ProofProblem,
  type ProvedPart,
  type UnreadableChange,
  type Verification,
  verifyLedger,
} from "../../replay/verify.ts";
import { Failure } from "../failure.ts";
import { withProgress } from "../output/progress.ts";
import type { OperatorContext } from "./context.ts";
import type { RememberedLedger } from "./remembered-ledger.ts";

const CHECKS = { signatureOf: signatureState, mismatchOf: commandMismatch };

/** What was found, and what tells this ledger from every other. */
export interface LedgerProof extends Verification {
  /** Hash of the very first change; undefined where that was not read. */
  readonly first: string | undefined;
}

/** Reads a mesh's ledger from its beginning. */
export async function proveLedger(
  { bus }: Pick<OperatorContext, "bus">,
  noted: (first: string) => readonly NotedLedger[],
): Promise<LedgerProof> {
  return prove(storedChanges(bus), noted);
}

/**
 * Reads what came since a ledger was proved, and goes on from there. Of what lies before, only the first change and the
 * last of each namespace are looked at: whether they are still those that were proved.
 */
export async function proveTail(
  { bus }: Pick<OperatorContext, "bus">,
  { first, proved }: RememberedLedger & { readonly proved: ProvedPart },
  noted: readonly NotedLedger[],
): Promise<LedgerProof> {
  const anchors = [{ revision: 1, hash: first }, ...proved.heads.values()];
  const found = await Promise.all(anchors.map((anchor) => anchorProblem(bus, anchor)));
  const tail = await verifyLedger(storedChanges(bus, proved.mark.revision + 1), { ...CHECKS, noted, proved });
  const problems = [...found.filter((problem) => problem !== undefined), ...tail.problems];
  return { ...tail, problems, first };
}

async function anchorProblem(
  bus: OperatorContext["bus"],
  { revision, hash }: { readonly revision: number; readonly hash: string },
): Promise<ProofProblem | undefined> {
  const stored = await storedAt(bus, revision);
  if (stored === undefined) {
    return { kind: "truncated", revision, message: `revision ${revision} is not there, and was when it was verified` };
  }
  if (stored.bytes !== undefined && sha256Hex(stored.bytes) === hash) return undefined;
  return { kind: "edited", revision, message: `revision ${revision} is not what it was when it was verified` };
}

async function prove(
  entries: AsyncIterable<RecordedChange | UnreadableChange>,
  noted: (first: string) => readonly NotedLedger[],
  base?: NotedLedger["mark"],
): Promise<LedgerProof> {
  const iterator = entries[Symbol.asyncIterator]();
  const start = await iterator.next();
  const first = start.done === true || "unreadable" in start.value || base !== undefined ? undefined : start.value.hash;
  const rest = async function* (): AsyncGenerator<RecordedChange | UnreadableChange> {
    for (let next = start; next.done !== true; next = await iterator.next()) yield next.value;
  };
  const options = { ...CHECKS, noted: noted(first ?? ""), ...(base === undefined ? {} : { base }) };
  return { ...(await verifyLedger(rest(), options)), first };
}

async function* storedChanges(
  bus: OperatorContext["bus"],
  from = 1,
): AsyncGenerator<RecordedChange | UnreadableChange> {
  const stored = withProgress(readStored(bus, from), ({ revision }) => `proved up to revision ${revision}`);
  for await (const { revision, subject, bytes } of stored) {
    if (bytes === undefined) yield { revision, unreadable: `revision ${revision} is not there`, missing: true };
    else yield readable(revision, subject, bytes);
  }
}

function readable(revision: number, subject: string, bytes: Uint8Array): RecordedChange | UnreadableChange {
  try {
    const recorded = recordedChange(bytes, revision);
    if (subject === subjects.events(recorded.namespace)) return recorded;
    return { revision, unreadable: `revision ${revision} is of ${recorded.namespace}, and is stored as ${subject}` };
  } catch (error) {
    if (error instanceof LogCorruption) return { revision, unreadable: error.message };
    throw error;
  }
}

/** How what gzip wrote begins (RFC 1952, section 2.3.1), read as text. */
const GZIP_START = "\u001f\ufffd";

/** A ledger out of a file, whole in memory. */
export interface ExportedLedger {
  readonly changes: readonly ExportedChange[];
  readonly entries: readonly (RecordedChange | UnreadableChange)[];
  readonly seal: ExportSeal | undefined;
}

/** Reads an export; `-` is the standard input. Rejects with `Failure` where the file cannot be read. */
export async function readExport(path: string): Promise<ExportedLedger> {
  const changes: ExportedChange[] = [];
  const entries: (RecordedChange | UnreadableChange)[] = [];
  let found: ExportSeal | undefined;
  const input = path === "-" ? process.stdin : createReadStream(path);
  // The iterator of a file that cannot be opened would only end early.
  const broken = new Promise<never>((_, reject) => input.once("error", reject));
  broken.catch(() => {});
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  try {
    for (let number = 1; ; number++) {
      const { value: line, done } = await Promise.race([lines.next(), broken]);
      if (done === true) break;
      if (number === 1 && line.startsWith(GZIP_START))
        throw new Error(`is compressed: gunzip it, and say - to read it here`);
      if (line === "") continue;
      const read = readLine(line, (entries.at(-1)?.revision ?? 0) + 1);
      if (read.kind === "seal") found = read.seal;
      else if (read.kind === "unreadable") entries.push({ ...read, unreadable: `line ${number}: ${read.unreadable}` });
      else {
        changes.push(read);
        entries.push(read.recorded);
      }
    }
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT")
      throw new Failure(`${path}: there is no such file`);
    throw new Failure(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  return { changes, entries, seal: found };
}

/** Proves an export, its seal included. */
export async function proveExport(
  { entries, seal }: ExportedLedger,
  noted: (first: string) => readonly NotedLedger[],
): Promise<LedgerProof> {
  const source = async function* (): AsyncGenerator<RecordedChange | UnreadableChange> {
    yield* entries;
  };
  const proof = await prove(source(), noted, baseOf(seal));
  const problems: ProofProblem[] = [...proof.problems, ...sealProblems(seal, proof, isSealed)];
  return { ...proof, problems: problems.sort((a, b) => a.revision - b.revision) };
}

function isSealed({ data: { signature, ...text } }: ExportSeal): boolean {
  const bytes = new TextEncoder().encode(signedText(text));
  return verify(text.actor.publicKey, bytes, Buffer.from(signature, "base64url"));
}
