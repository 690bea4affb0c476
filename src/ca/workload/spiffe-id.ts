/** SPIFFE IDs (SPIFFE-ID §2), strictly: what is not exactly in the form below is no identity. */

import { isDnsLabel, spiffeId, TRUST_DOMAIN } from "../../policy/names.ts";
import { err, ok, type Result } from "../../policy/result.ts";

/** Who a workload is. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
  /** All of the above as one text: `spiffe://<trustDomain>/ns/<namespace>/sa/<service>`. */
  readonly id: string;
}

/** SPIFFE-ID §2.3: implementations must support this many bytes and must not make longer ones. */
const SPIFFE_ID_BYTES_MAX = 2048;

const SCHEME = "spiffe://";
const SEGMENT = /^[a-zA-Z0-9._-]+$/;

/** The identity of a service. Throws where a part is no legal name: callers have validated them. */
export function workloadIdentity(trustDomain: string, namespace: string, service: string): Identity {
  const parsed = parseIdentity(spiffeId(trustDomain, namespace, service));
  if (!parsed.ok) throw new TypeError(parsed.error);
  return parsed.value;
}

/** The SPIFFE ID of a whole trust domain, which signing certificates carry. */
export function trustDomainId(trustDomain: string): string {
  return SCHEME + trustDomain;
}

/**
 * Splits a SPIFFE ID (§2.1, §2.2) into trust domain and path segments. No percent-encoding, port, user, query,
 * fragment, empty or dot segment can be in what passes: their characters are not in the alphabet.
 * The error says what is wrong.
 */
export function parseSpiffeId(text: string): Result<{ trustDomain: string; segments: readonly string[] }, string> {
  // All characters that pass are one byte long, so that counting characters is counting bytes.
  if (text.length > SPIFFE_ID_BYTES_MAX) return err(`SPIFFE ID is longer than ${SPIFFE_ID_BYTES_MAX} bytes`);
  if (!text.startsWith(SCHEME)) return err("SPIFFE ID does not begin with spiffe://");
  const [trustDomain = "", ...segments] = text.slice(SCHEME.length).split("/");
  if (!TRUST_DOMAIN.test(trustDomain)) return err("trust domain is not of [a-z0-9.-_], 1 to 255 characters");
  for (const segment of segments) {
    if (segment === "") return err("path has an empty segment or a trailing slash");
    if (segment === "." || segment === "..") return err("path has a dot segment");
    if (!SEGMENT.test(segment)) return err("path has a character outside [a-zA-Z0-9.-_]");
  }
  return ok({ trustDomain, segments });
}

/** Reads a workload's SPIFFE ID, `spiffe://<trust domain>/ns/<namespace>/sa/<service>`. The error says what is wrong. */
export function parseIdentity(text: string): Result<Identity, string> {
  const parsed = parseSpiffeId(text);
  if (!parsed.ok) return parsed;
  const { trustDomain, segments } = parsed.value;
  const [ns, namespace, sa, service, ...more] = segments;
  if (ns !== "ns" || sa !== "sa" || namespace === undefined || service === undefined || more.length > 0) {
    return err("SPIFFE ID is not of the form /ns/<namespace>/sa/<service>");
  }
  if (!isDnsLabel(namespace) || !isDnsLabel(service)) return err("namespace and service must be DNS labels");
  return ok({ trustDomain, namespace, service, id: text });
}
