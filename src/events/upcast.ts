/**
 * Old envelopes brought up to the present schema, one version at a time, before anything else reads them. History is
 * never rewritten: a field that is renamed is renamed here, for as long as a change that has the old name is kept.
 */

import { z } from "zod";
import { CHANGE_SCHEMA } from "./change.ts";

/** A change envelope as parsed from JSON: of a known version, otherwise unexamined. */
export type OldEnvelope = { readonly data: { readonly schema: number } } & Readonly<Record<string, unknown>>;

/** Turns an envelope of one version into one of the next, `data.schema` included. */
export type Upcast = (envelope: OldEnvelope) => unknown;

/** By the version that an upcast starts from. Version 1 is the first and the present one. */
const UPCASTS: ReadonlyMap<number, Upcast> = new Map();

const versioned = z.looseObject({ data: z.looseObject({ schema: z.int().min(1) }) });

/** An envelope that cannot be brought up to the present schema; the message says what to do. */
export class UpcastError extends Error {
  override readonly name = "UpcastError";
}

/**
 * The envelope in the present schema, still to be validated.
 * @throws UpcastError for what is no envelope, for a schema newer than this program, and for one too old.
 */
export function upcast(
  envelope: unknown,
  upcasts: ReadonlyMap<number, Upcast> = UPCASTS,
  present: number = CHANGE_SCHEMA,
): unknown {
  let current = envelope;
  for (;;) {
    const parsed = versioned.safeParse(current);
    if (!parsed.success) throw new UpcastError("is not a change: it has no data.schema");
    const { schema } = parsed.data.data;
    if (schema === present) return current;
    if (schema > present) {
      throw new UpcastError(`has schema ${schema}, this program knows up to ${present}: upgrade heddle`);
    }
    const step = upcasts.get(schema);
    if (step === undefined) throw new UpcastError(`has schema ${schema}, which this program cannot read any more`);
    current = advanced(step(parsed.data), schema);
  }
}

/** Guards the loop above against an upcast that leads nowhere. */
function advanced(envelope: unknown, from: number): unknown {
  const parsed = versioned.safeParse(envelope);
  if (parsed.success && parsed.data.data.schema > from) return envelope;
  throw new Error(`the upcast from schema ${from} does not lead to a later one`);
}
