/**
 * A ledger as text: JSON Lines, one CloudEvent a line. Each change stands as the ledger holds it, with its revision as
 * `sequence`; the last line seals what comes before, signed by whoever exported it.
 */

import { z } from "zod";
import { recordedChange, sha256Hex } from "../events/chain.ts";
import type { RecordedChange } from "../events/change.ts";
import { FIRST_MARK, formatMark, isSameMark, type LedgerMark } from "../events/ledger-mark.ts";
import { LogCorruption } from "../events/log.ts";
import { canonicalJson } from "../policy/canonical.ts";
import type { ProofProblem, UnreadableChange, Verification } from "./verify.ts";

const SEAL_TYPE = "io.heddle.export.v1";
const HEX_DIGEST = z.string().regex(/^(?:[0-9a-f]{64})?$/);
const mark = z.strictObject({ revision: z.int().min(0), digest: HEX_DIGEST });

const sealed = z.strictObject({
  /** What came before the first line; revision 0 for a ledger from its beginning. */
  base: mark,
  /** The last change. */
  end: mark,
  changes: z.int().min(0),
  actor: z.strictObject({ name: z.string(), publicKey: z.string() }),
});
/** What the exporter signs for. */
export type SealedText = z.infer<typeof sealed>;

const seal = z.strictObject({
  specversion: z.literal("1.0"),
  id: z.string(),
  source: z.string(),
  type: z.literal(SEAL_TYPE),
  time: z.string(),
  datacontenttype: z.literal("application/json"),
  data: sealed.extend({ signature: z.string() }),
});
export type ExportSeal = z.infer<typeof seal>;

const numbered = z.looseObject({ sequence: z.string().regex(/^\d{1,15}$/) });

/** The line of one change. Throws `LogCorruption` for one that is not stored as this program writes changes. */
export function changeLine(recorded: RecordedChange, stored: Uint8Array): string {
  const text = new TextDecoder().decode(stored);
  const line = canonicalJson({ ...parseObject(text), sequence: String(recorded.revision) });
  if (sha256Hex(storedText(line)) === recorded.hash) return line;
  throw new LogCorruption(
    recorded.revision,
    "is not stored in canonical form, so that it cannot be exported faithfully",
  );
}

/** The last line. `sign` is Ed25519 over the text, base64url. */
export function sealLine(
  text: SealedText,
  { id, time, sign }: { readonly id: string; readonly time: string; readonly sign: (text: string) => string },
): string {
  const envelope = { specversion: "1.0", id, source: "heddle/export", type: SEAL_TYPE, time } as const;
  const data = { ...text, signature: sign(signedText(text)) };
  return canonicalJson({ ...envelope, datacontenttype: "application/json", data } satisfies ExportSeal);
}

/** What the signature of a seal is over. */
export function signedText(text: SealedText): string {
  return sha256Hex(canonicalJson(sealed.parse(text)));
}

/** One change of an export, with the bytes that the ledger held. */
export interface ExportedChange {
  readonly recorded: RecordedChange;
  readonly bytes: Uint8Array;
}

export type ExportLine =
  | ({ readonly kind: "change" } & ExportedChange)
  | { readonly kind: "seal"; readonly seal: ExportSeal }
  | ({ readonly kind: "unreadable" } & UnreadableChange);

/** Reads one line. `expected` is the revision that should stand there, for what does not say which it is. */
export function readLine(line: string, expected: number): ExportLine {
  const json = parseObject(line);
  const asSeal = seal.safeParse(json);
  if (asSeal.success) return { kind: "seal", seal: asSeal.data };
  const withSequence = numbered.safeParse(json);
  if (!withSequence.success) {
    return { kind: "unreadable", revision: expected, unreadable: `where revision ${expected} should be is no change` };
  }
  const revision = Number(withSequence.data.sequence);
  const bytes = new TextEncoder().encode(storedText(line));
  try {
    return { kind: "change", recorded: recordedChange(bytes, revision), bytes };
  } catch (error) {
    if (!(error instanceof LogCorruption)) throw error;
    return { kind: "unreadable", revision, unreadable: error.message };
  }
}

/** The mark before the first change of an export, as its seal has it. */
export function baseOf(found: ExportSeal | undefined): LedgerMark | undefined {
  const base = found?.data.base;
  return base === undefined || base.revision === FIRST_MARK.revision ? undefined : base;
}

/** What the seal says against what the file holds. */
export function sealProblems(
  found: ExportSeal | undefined,
  { mark: end, changes, operators }: Verification,
  isSigned: (seal: ExportSeal) => boolean,
): ProofProblem[] {
  const { revision } = end;
  if (found === undefined) {
    return [
      {
        kind: "truncated",
        revision,
        message: `the export has no seal: what came after revision ${revision} is missing`,
      },
    ];
  }
  const { data } = found;
  const problems: ProofProblem[] = [];
  if (data.end.revision > revision) {
    const message = `the export ends at revision ${revision}, and was sealed at revision ${data.end.revision}`;
    problems.push({ kind: "truncated", revision, message });
  } else if (!isSameMark(data.end, end) && data.end.revision !== data.base.revision) {
    const message = `what the export holds is not what was sealed: it comes to ${formatMark(end)}`;
    problems.push({ kind: "edited", revision: data.end.revision, message });
  }
  if (data.changes !== changes) {
    const message = `the export holds ${changes} changes, and was sealed with ${data.changes}`;
    problems.push({ kind: data.changes > changes ? "dropped" : "duplicated", revision, message });
  }
  const { name, publicKey } = data.actor;
  if (!isSigned(found)) problems.push({ kind: "forged", revision, message: `the seal is not signed by ${name}` });
  const isPart = data.base.revision > 0;
  if (!isPart && operators.get(publicKey)?.name !== name) {
    problems.push({ kind: "stranger", revision, message: `the seal is by ${name}, and no operator has that key` });
  }
  return problems;
}

/** What the ledger stored: the line without its sequence. A line that is no JSON object is its own text. */
function storedText(line: string): string {
  const json = parseObject(line);
  if (json === undefined) return line;
  const { sequence: _, ...stored } = json;
  return canonicalJson(stored);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    const parsed = z.record(z.string(), z.unknown()).safeParse(json);
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
