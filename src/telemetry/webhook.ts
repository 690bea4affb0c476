/**
 * One change as one HTTP request, after Standard Webhooks (standardwebhooks.com, version 1.0): id, time and a signature
 * over both and the body, so that a receiver can tell who sent it, and knows a repetition for one.
 */

import { createHmac } from "node:crypto";

export interface WebhookTarget {
  readonly url: string;
  /** Absent: requests are not signed. */
  readonly secret: Uint8Array | undefined;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Resolves after so many milliseconds, or at once when nothing more is wanted. */
  readonly pause: (delayMs: number) => Promise<void>;
  readonly stopped: () => boolean;
}

export interface Delivery {
  /** The same for every attempt. */
  readonly id: string;
  readonly body: string;
  readonly contentType: string;
}

/**
 * - `delivered`: the receiver has taken it.
 * - `refused`: it will not, now or later.
 * - `gone`: it wants nothing any more, this or any other.
 * - `stopped`: nobody waits for the answer any more; whether it was taken is not known.
 */
export type DeliveryOutcome =
  | { readonly kind: "delivered" | "gone" | "stopped" }
  | { readonly kind: "refused"; readonly reason: string };

/** With the waits between them, some ten minutes. */
const ATTEMPTS_MAX = 12;
const FIRST_WAIT_MS = 500;
const WAIT_MAX_MS = 120_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** Answers that may be others later. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 409, 425, 429]);
/** How a receiver says, after Standard Webhooks, that nothing more is to be sent to it. */
const GONE = 410;

/** Sends until it is taken, refused for good, or was tried often enough. */
export async function deliver(delivery: Delivery, target: WebhookTarget): Promise<DeliveryOutcome> {
  let reason = "";
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    if (target.stopped()) return { kind: "stopped" };
    const answer = await attemptOnce(delivery, target);
    if (answer === undefined) return { kind: "delivered" };
    if (answer.status === GONE) return { kind: "gone" };
    reason = answer.reason;
    if (!answer.transient) break;
    const waitMs = Math.max(FIRST_WAIT_MS * 2 ** (attempt - 1), answer.retryAfterMs);
    if (attempt < ATTEMPTS_MAX) await target.pause(Math.min(WAIT_MAX_MS, waitMs));
  }
  return { kind: "refused", reason };
}

interface Rejection {
  readonly reason: string;
  readonly transient: boolean;
  /** 0 where there was no answer. */
  readonly status: number;
  /** How long the receiver asks to be left alone; 0 where it does not. */
  readonly retryAfterMs: number;
}

/** Undefined: taken. */
async function attemptOnce(
  { id, body, contentType }: Delivery,
  { url, secret, fetch, now }: WebhookTarget,
): Promise<Rejection | undefined> {
  const timestamp = String(Math.floor(now() / 1_000));
  const signature = secret && createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": contentType,
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    ...(signature === undefined ? {} : { "webhook-signature": `v1,${signature}` }),
  };
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    // A redirect could lead anywhere, with the body in hand.
    const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    await response.body?.cancel();
    if (response.ok) return undefined;
    const { status, headers: answered } = response;
    const transient = status >= 500 || TRANSIENT.has(status);
    return { reason: `answered ${status}`, transient, status, retryAfterMs: retryAfterMs(answered, now()) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { reason, transient: true, status: 0, retryAfterMs: 0 };
  }
}

/** `Retry-After` (RFC 9110, section 10.2.3), in seconds or as a date. */
function retryAfterMs(headers: Headers, nowMs: number): number {
  const text = headers.get("retry-after") ?? "";
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? 0 : Math.max(ms, 0);
}
