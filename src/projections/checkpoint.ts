/**
 * A projection's state at a revision, kept so that a restart folds the tail of the ledger and not the whole of it.
 * A checkpoint is only ever a shortcut: one that is damaged, foreign or of another version is not taken up, and the
 * ledger is folded from its beginning.
 */

import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { z } from "zod";
import { canonicalJson } from "../policy/canonical.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { messageOf } from "./backoff.ts";
import type { Projection } from "./projection.ts";
import type { StateCodec } from "./state-codec.ts";

/** A state and the change that it ends with. */
export interface Checkpoint<S> {
  /** The last change folded. */
  readonly revision: number;
  /** That change's hash: the ledger that still holds it at this revision is the one that was folded. */
  readonly hash: string;
  readonly state: S;
}

/** Which projection made it, in which version: another one would have made another state of the same history. */
export type ProjectionName = Pick<Projection<unknown>, "name" | "version">;

/** Bounds the size to which a damaged checkpoint can unpack: far above any mesh, far below memory. */
const UNPACKED_BYTES_MAX = 512 * 1024 * 1024;

/** Comes last, so that the digest is proved over the text as it stands; no value before it can hold this text. */
const STATE_FIELD = ',"state":';

const head = z.strictObject({
  projection: z.string(),
  version: z.int(),
  revision: z.int().min(0),
  hash: z.string(),
  /** SHA-256 of the state's canonical JSON, lower-case hex. */
  digest: z.string(),
});

/** The bucket key of a projection's checkpoint; versions do not share one, so that a rolling upgrade keeps both. */
export function checkpointKey({ name, version }: ProjectionName): string {
  return `${name}.${version}`;
}

/** Gzipped JSON: a mesh of a thousand services would not fit a NATS message (1 MiB by default) as plain text. */
export function encodeCheckpoint<S>(
  projection: ProjectionName,
  codec: StateCodec<S>,
  { revision, hash, state }: Checkpoint<S>,
): Uint8Array {
  const text = canonicalJson(codec.toJson(state));
  const { name, version } = projection;
  const fields = JSON.stringify({ projection: name, version, revision, hash, digest: sha256(text) });
  return gzipSync(`${fields.slice(0, -1)}${STATE_FIELD}${text}}`);
}

/** The checkpoint, or in words why it is none for this projection. */
export function decodeCheckpoint<S>(
  projection: ProjectionName,
  codec: StateCodec<S>,
  bytes: Uint8Array,
): Result<Checkpoint<S>, string> {
  const inspected = inspectCheckpoint(projection, bytes);
  if (!inspected.ok) return inspected;
  const { revision, hash, stateText } = inspected.value;
  try {
    return ok({ revision, hash, state: codec.fromJson(JSON.parse(stateText)) });
  } catch (error) {
    return err(`it cannot be read: ${messageOf(error)}`);
  }
}

/** A checkpoint whose state is unread, and is what was written: its digest has been held against it. */
export interface InspectedCheckpoint extends Omit<Checkpoint<unknown>, "state"> {
  readonly stateText: string;
}

/** Reads the head and proves the digest, which takes a fraction of what reading the state takes. */
export function inspectCheckpoint(projection: ProjectionName, bytes: Uint8Array): Result<InspectedCheckpoint, string> {
  try {
    const text = gunzipSync(bytes, { maxOutputLength: UNPACKED_BYTES_MAX }).toString("utf8");
    const split = text.indexOf(STATE_FIELD);
    if (split < 0 || !text.endsWith("}")) return err("it has no state");
    const { projection: name, version, revision, hash, digest } = head.parse(JSON.parse(`${text.slice(0, split)}}`));
    if (name !== projection.name || version !== projection.version) {
      return err(`it is of ${name} version ${version}, not of ${projection.name} version ${projection.version}`);
    }
    const stateText = text.slice(split + STATE_FIELD.length, -1);
    if (sha256(stateText) !== digest) return err("its digest does not match its state");
    return ok({ revision, hash, stateText });
  } catch (error) {
    return err(`it cannot be read: ${messageOf(error)}`);
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
