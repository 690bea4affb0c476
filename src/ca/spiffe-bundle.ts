/** Trust bundles in SPIFFE's own form: a JWK set (SPIFFE Trust Domain and Bundle §4, X509-SVID §6). */

import { createPublicKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../policy/json.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { BUNDLE_ROOTS_MAX, decodePem, encodePem, parseBundle } from "./workload/pem.ts";

/** Bytes of a bundle that is read: 64 roots of some kilobytes. */
export const BUNDLE_BYTES_MAX = 512 * 1024;
/** How often a consumer should look for a newer one; roots are trusted long before they sign. */
const REFRESH_HINT_S = 3_600;

const jwk = z.looseObject({
  use: z.string().optional(),
  x5c: z.array(z.string()).optional(),
});

const jwkSet = z.looseObject({
  keys: z.array(jwk).max(BUNDLE_ROOTS_MAX * 4),
  spiffe_sequence: z.int().min(0).optional(),
});

export interface SpiffeBundle {
  /** PEM of each root. */
  readonly roots: readonly string[];
  /** Grows with every change; absent where the publisher does not say. */
  readonly sequence: number | undefined;
}

/** @param sequence grows with every change of the bundle */
export function toJwkSet(roots: readonly string[], sequence: number): object {
  const keys = roots.map((pem) => {
    const certificate = new X509Certificate(pem);
    const key = createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" })).export({
      format: "jwk",
    });
    // One certificate and no key id (X509-SVID §6.1): whoever verifies knows keys by their certificates.
    return { use: "x509-svid", ...key, x5c: [certificate.raw.toString("base64")] };
  });
  return { keys, spiffe_sequence: sequence, spiffe_refresh_hint: REFRESH_HINT_S };
}

/**
 * Reads a bundle as its publisher gives it: a JWK set, of which the keys of other uses are passed over, or PEM. The error
 * says what is wrong.
 */
export function parseSpiffeBundle(text: string): Result<SpiffeBundle, string> {
  if (text.length > BUNDLE_BYTES_MAX) return err(`the bundle is larger than ${BUNDLE_BYTES_MAX} bytes`);
  if (!text.trimStart().startsWith("{")) {
    const roots = parseBundle(text);
    return roots.ok ? ok({ roots: roots.value, sequence: undefined }) : roots;
  }
  const set = jwkSet.safeParse(parseJson(text));
  if (!set.success) return err("the bundle is neither PEM nor a JWK set");
  const pems: string[] = [];
  for (const [index, { use, x5c }] of set.data.keys.entries()) {
    if (use !== "x509-svid") continue;
    const [only, ...more] = x5c ?? [];
    // Standard base64, not that of URLs (RFC 7517 §4.7).
    if (only === undefined || more.length > 0) return err(`keys[${index}] must hold exactly one certificate (x5c)`);
    const pem = pemOf(only);
    if (pem === undefined) return err(`keys[${index}].x5c[0] is no certificate in base64`);
    pems.push(pem);
  }
  if (pems.length === 0) return err("the bundle holds no key for x509-svid");
  const roots = parseBundle(pems.join("\n"));
  return roots.ok ? ok({ roots: roots.value, sequence: set.data.spiffe_sequence }) : roots;
}

function pemOf(base64: string): string | undefined {
  try {
    const pem = encodePem("CERTIFICATE", Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" }));
    return decodePem("CERTIFICATE", pem) === undefined ? undefined : pem;
  } catch {
    return undefined;
  }
}
