/** What the command line noted of a ledger when it last proved it: kept beside the mesh's directory, not in the ledger. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writePrivateFile } from "../../nats/private-file.ts";
import { parseJson } from "../../policy/json.ts";
import type { NotedLedger } from "../../replay/verify.ts";
import { Failure } from "../failure.ts";
import type { LedgerProof } from "./ledger-proof.ts";

const FILE = "verified.json";

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const revision = z.int().min(1);
const remembered = z.strictObject({
  version: z.literal(1),
  /** Hash of the first change: which ledger it is. */
  first: hash,
  /** RFC 3339. */
  time: z.string(),
  mark: z.strictObject({ revision, digest: hash }),
  heads: z.record(z.string(), z.strictObject({ revision, hash })),
});

export interface RememberedLedger extends NotedLedger {
  readonly first: string;
  /** When it was proved: RFC 3339. */
  readonly time: string;
}

/** Undefined where nothing was noted yet. Rejects with `Failure` for a damaged file: without it, nothing is compared. */
export async function recallLedger(directory: string): Promise<RememberedLedger | undefined> {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const parsed = remembered.safeParse(parseJson(text));
  if (!parsed.success) throw new Failure(`${path} is damaged: put it back from a backup, or delete it to begin anew`);
  const { heads, ...rest } = parsed.data;
  return { ...rest, heads: new Map(Object.entries(heads)) };
}

/** Notes the end of a ledger that was proved without a problem. */
export async function rememberLedger(
  directory: string,
  { first, mark, heads }: LedgerProof,
  time: string,
): Promise<void> {
  if (first === undefined) return;
  const value = { version: 1, first, time, mark, heads: Object.fromEntries(heads) } satisfies z.infer<
    typeof remembered
  >;
  await writePrivateFile(join(directory, FILE), `${JSON.stringify(value, null, 2)}\n`);
}
