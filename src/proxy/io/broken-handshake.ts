/** Why a TLS handshake with a peer came to nothing, in words for whoever looks after that peer. */

import type { PeerRefusal } from "../../ca/workload/svid.ts";

/** A TLS connection begins with a handshake record (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

/** By BoringSSL's own names for what it found in what a client sent. */
const OF_CLIENTS: ReadonlyMap<string, string> = new Map([
  ["UNSUPPORTED_PROTOCOL", "the client offers TLS older than 1.3 only"],
  ["PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client showed no certificate: this port takes mutual TLS"],
  ["NO_SHARED_CIPHER", "the client offers no cipher suite that is taken here"],
]);

const NO_TLS = "the server speaks no TLS: plaintext, where mutual TLS was expected";
/** And in what a server answered. */
const OF_SERVERS: ReadonlyMap<string, string> = new Map([
  ["WRONG_VERSION_NUMBER", NO_TLS],
  ["HTTP_REQUEST", NO_TLS],
  ["UNSUPPORTED_PROTOCOL", "the server speaks TLS older than 1.3 only"],
]);

/**
 * Of a client that came to us.
 * @param firstByte what it sent first
 * @param error of the handshake, whose message ends in BoringSSL's name for it; absent where time ran out
 */
export function brokenByClient(firstByte: number, error: Error | null | undefined): PeerRefusal {
  const isTls = firstByte === TLS_HANDSHAKE;
  const plaintext = "the client speaks plaintext, and this port takes mutual TLS only (mtls: strict)";
  return { reason: "handshake_failed", message: isTls ? inWords("client", OF_CLIENTS, error) : plaintext };
}

/** Of a server that we dialled. */
export function brokenByServer(error: Error | null | undefined): PeerRefusal {
  return { reason: "handshake_failed", message: inWords("server", OF_SERVERS, error) };
}

function inWords(
  peer: "client" | "server",
  known: ReadonlyMap<string, string>,
  error: Error | null | undefined,
): string {
  const found = /:([A-Z0-9_]+)$/.exec(error?.message ?? "")?.[1];
  if (found === undefined) return `the ${peer} did not go through with the TLS handshake: it gave up, or took too long`;
  const alert = /^(?:SSLV3|TLSV1)_ALERT_(.+)$/.exec(found)?.[1];
  if (alert !== undefined) return `the ${peer} broke the TLS handshake off: ${lower(alert)} (TLS alert)`;
  return known.get(found) ?? `the TLS handshake failed: ${lower(found)}`;
}

function lower(name: string): string {
  return name.toLowerCase().replaceAll("_", " ");
}
