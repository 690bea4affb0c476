/**
 * Request and reply on `heddle.ca.sign.<namespace>.<service>.<user>`, in JSON. Who asks is in the subject, which the NATS
 * server has checked against the asker's credentials; the request holds only a key and its proof.
 */

import { z } from "zod";
import { err, ok, type Result } from "../../policy/result.ts";
import { BUNDLE_ROOTS_MAX } from "./pem.ts";

/** Of a request in bytes; one for a P-256 key has some 450. */
export const SIGN_REQUEST_BYTES_MAX = 16 * 1024;
/** Of a reply in bytes: a chain of two and a bundle of the greatest size. */
const SIGN_REPLY_BYTES_MAX = 256 * 1024;

const PEM_CHARACTERS_MAX = 16 * 1024;

const signRequest = z.strictObject({
  csr: z.string().max(PEM_CHARACTERS_MAX),
  /** Who of the service asks, as it says of itself; for the audit log, and for what is revoked by instance. */
  instance: z.string().max(64).optional(),
});

const signReply = z.union([
  z.strictObject({
    /** Leaf, then issuing certificate, PEM. */
    chain: z.string().max(PEM_CHARACTERS_MAX),
    /** PEM of every root to trust. */
    bundle: z.array(z.string().max(PEM_CHARACTERS_MAX)).min(1).max(BUNDLE_ROOTS_MAX),
    /** End of the leaf's validity, RFC 3339. */
    notAfter: z.iso.datetime(),
  }),
  z.strictObject({ error: z.string().max(1024) }),
]);

export type SignRequest = z.infer<typeof signRequest>;
export type SignReply = z.infer<typeof signReply>;

export function encodeSignRequest(request: SignRequest): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(request));
}

export function encodeSignReply(reply: SignReply): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(reply));
}

/** The error is for the asker to read. */
export function parseSignRequest(data: Uint8Array): Result<SignRequest, string> {
  return parseMessage(
    data,
    SIGN_REQUEST_BYTES_MAX,
    signRequest,
    'the request must be JSON of the form {"csr": "<PEM>"}',
  );
}

/** The error says that the reply was not understood; a reply that itself reports an error is a good one. */
export function parseSignReply(data: Uint8Array): Result<SignReply, string> {
  return parseMessage(data, SIGN_REPLY_BYTES_MAX, signReply, "the authority's reply was not understood");
}

function parseMessage<T>(
  data: Uint8Array,
  bytesMax: number,
  schema: z.ZodType<T>,
  expected: string,
): Result<T, string> {
  if (data.length > bytesMax) return err(`${expected}, of at most ${bytesMax} bytes`);
  try {
    const parsed = schema.safeParse(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data)));
    return parsed.success ? ok(parsed.data) : err(expected);
  } catch {
    return err(expected);
  }
}
