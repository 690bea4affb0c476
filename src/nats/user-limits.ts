/** What one connection may take of the server: the bounds in a user's JWT. The server closes who goes beyond. */

export interface UserLimits {
  /** Subscriptions at once. */
  readonly subs: number;
  /** Bytes of one message. */
  readonly payload: number;
  /** Bytes in all; the servers do not enforce it. */
  readonly data: number;
}

/** -1 is "no limit" in claims; an absent field would mean zero. */
export const UNLIMITED = -1;

/** The server's own bounds remain: 8 MiB for a message. */
export const UNBOUNDED: UserLimits = { subs: UNLIMITED, payload: UNLIMITED, data: UNLIMITED };

/** Commands may be as long as the server takes; a connection has few subscriptions, and one for each that follows. */
export const OPERATOR_LIMITS: UserLimits = { subs: 256, payload: UNLIMITED, data: UNLIMITED };

/** A sidecar has some fifty subscriptions at most and sends heartbeats, requests for certificates, and summaries. */
export const SERVICE_LIMITS: UserLimits = { subs: 64, payload: 1024 * 1024, data: UNLIMITED };
