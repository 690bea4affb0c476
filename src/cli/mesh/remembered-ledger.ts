/** What the command line noted of a ledger when it last proved it: kept beside the mesh's directory, not in the ledger. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { OPERATOR_ROLES } from "../../events/domain-events.ts";
import { writePrivateFile } from "../../nats/private-file.ts";
import { parseJson } from "../../policy/json.ts";
import type { KnownOperator, NamespaceHead, NotedLedger, ProvedPart } from "../../replay/verify.ts";
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
  /** Absent where an earlier version noted it; then nothing can be proved from there on. */
  operators: z
    .array(
      z.strictObject({
        name: z.string(),
        publicKey: z.string(),
        role: z.enum(OPERATOR_ROLES),
        namespaces: z.array(z.string()),
        /** Milliseconds since 1970. */
        revokedMs: z.number().optional(),
      }),
    )
    .optional(),
  isRotating: z.boolean().optional(),
});

export interface RememberedLedger extends NotedLedger {
  readonly first: string;
  /** When it was proved: RFC 3339. */
  readonly time: string;
  readonly heads: ReadonlyMap<string, NamespaceHead>;
  /** What a proof can go on from; undefined where that was not noted. */
  readonly proved: ProvedPart | undefined;
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
  const { operators, isRotating, mark, first, time } = parsed.data;
  const heads = new Map(Object.entries(parsed.data.heads));
  const known = operators?.map((one): [string, KnownOperator] => [one.publicKey, { revokedMs: undefined, ...one }]);
  const proved = known && { mark, heads, operators: new Map(known), isRotating: isRotating === true };
  return { mark, first, time, heads, proved };
}

/** Notes the end of a ledger that was proved without a problem. */
export async function rememberLedger(
  directory: string,
  { first, mark, heads, operators, isRotating }: LedgerProof,
  time: string,
): Promise<void> {
  if (first === undefined) return;
  const value = {
    version: 1,
    first,
    time,
    mark,
    heads: Object.fromEntries(heads),
    operators: Array.from(operators.values(), ({ name, publicKey, role, namespaces, revokedMs }) => ({
      name,
      publicKey,
      role,
      namespaces: [...namespaces],
      ...(revokedMs === undefined ? {} : { revokedMs }),
    })),
    isRotating,
  } satisfies z.infer<typeof remembered>;
  await writePrivateFile(join(directory, FILE), `${JSON.stringify(value, null, 2)}\n`);
}
