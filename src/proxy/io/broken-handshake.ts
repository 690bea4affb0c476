/** Why a peer's TLS handshake with us came to nothing, in words for whoever looks after that peer. */

import type { PeerRefusal } from "../../ca/workload/svid.ts";

/** A TLS connection begins with a handshake record (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

/** By BoringSSL's own names for what it found. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ["UNSUPPORTED_PROTOCOL", "the client offers TLS older than 1.3 only"],
  ["PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client showed no certificate: this port takes mutual TLS"],
  ["NO_SHARED_CIPHER", "the client offers no cipher suite that is taken here"],
]);

/**
 * @param firstByte what the client sent first
 * @param error of the handshake, whose message ends in BoringSSL's name for it; absent where time ran out
 */
export function brokenHandshake(firstByte: number, error: Error | null | undefined): PeerRefusal {
  return { reason: "handshake_failed", message: messageOf(firstByte, error) };
}

function messageOf(firstByte: number, error: Error | null | undefined): string {
  if (firstByte !== TLS_HANDSHAKE)
    return "the client speaks plaintext, and this port takes mutual TLS only (mtls: strict)";
  const found = /:([A-Z0-9_]+)$/.exec(error?.message ?? "")?.[1];
  if (found === undefined) return "the client did not go through with the TLS handshake: it gave up, or took too long";
  const alert = /^(?:SSLV3|TLSV1)_ALERT_(.+)$/.exec(found)?.[1];
  if (alert !== undefined) return `the client broke the TLS handshake off: ${inWords(alert)} (TLS alert)`;
  return WORDS.get(found) ?? `the TLS handshake failed: ${inWords(found)}`;
}

function inWords(name: string): string {
  return name.toLowerCase().replaceAll("_", " ");
}
