/**
 * One short text that stands for the whole ledger up to a revision: whoever keeps it will notice if anything before it
 * was altered, even just a change's sequence number. The chain of a namespace proves the order within that namespace;
 * the mark proves how the namespaces interleave.
 */

import { sha256Hex } from "./chain.ts";
import type { RecordedChange } from "./change.ts";

/** A revision, and the digest of everything up to it. */
export interface LedgerMark {
  readonly revision: number;
  /** Lower-case hex; a noted one may be cut to its first 16 digits or more. */
  readonly digest: string;
}

/** Before anything happened. */
export const FIRST_MARK: LedgerMark = { revision: 0, digest: "" };

const MARK_TEXT = /^(\d{1,15}):([0-9a-f]{16,64})$/;

/** The mark after one more change. */
export function advanceMark({ digest }: LedgerMark, recorded: Marked): LedgerMark {
  const { revision, namespace, hash } = recorded;
  return { revision, digest: sha256Hex(`${digest}\n${revision} ${namespace} ${hash}`) };
}

type Marked = Pick<RecordedChange, "revision" | "namespace" | "hash">;

/** `41:9f86d081884c7d65`: what a person notes down. */
export function formatMark({ revision, digest }: LedgerMark): string {
  return `${revision}:${digest}`;
}

/** Undefined for a text that is no mark. */
export function parseMark(text: string): LedgerMark | undefined {
  const [, revision, digest] = MARK_TEXT.exec(text) ?? [];
  return revision === undefined || digest === undefined ? undefined : { revision: Number(revision), digest };
}

/** Whether a noted mark, perhaps cut short, is this one. */
export function isSameMark(noted: LedgerMark, mark: LedgerMark): boolean {
  return noted.revision === mark.revision && noted.digest !== "" && mark.digest.startsWith(noted.digest);
}
