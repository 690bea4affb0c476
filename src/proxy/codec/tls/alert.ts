/** TLS alerts in the clear (RFC 8446 §6): how a client is told why its handshake leads nowhere. */

const ALERT_RECORD = 21;
const FATAL = 2;

/** Those that a proxy without the server's key can send. */
const DESCRIPTIONS = {
  unexpected_message: 10,
  decode_error: 50,
  access_denied: 49,
  internal_error: 80,
  unrecognized_name: 112,
} as const;

export type TlsAlert = keyof typeof DESCRIPTIONS;

/** One record, of the version that every client reads before one is agreed upon. */
export function alertRecord(alert: TlsAlert): Uint8Array {
  return Uint8Array.of(ALERT_RECORD, 3, 3, 0, 2, FATAL, DESCRIPTIONS[alert]);
}

/** The alert that says what an HTTP status of our own would have said. */
export function alertOfStatus(status: number): TlsAlert {
  if (status === 403) return "access_denied";
  return status === 404 ? "unrecognized_name" : "internal_error";
}
