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
}

/**
 * - `delivered`: the receiver has taken it.
 * - `refused`: it will not, now or later.
 * - `stopped`: nobody waits for the answer any more; whether it was taken is not known.
 */
export type DeliveryOutcome =
  | { readonly kind: "delivered" | "stopped" }
  | { readonly kind: "refused"; readonly reason: string };

/** With the waits between them, some ten minutes. */
const ATTEMPTS_MAX = 12;
const FIRST_WAIT_MS = 500;
const WAIT_MAX_MS = 120_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** Answers that may be others later. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** Sends until it is taken, refused for good, or was tried often enough. */
export async function deliver(delivery: Delivery, target: WebhookTarget): Promise<DeliveryOutcome> {
  let reason = "";
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    if (target.stopped()) return { kind: "stopped" };
    const answer = await attemptOnce(delivery, target);
    if (answer === undefined) return { kind: "delivered" };
    reason = answer.reason;
    if (!answer.transient) break;
    if (attempt < ATTEMPTS_MAX) await target.pause(Math.min(WAIT_MAX_MS, FIRST_WAIT_MS * 2 ** (attempt - 1)));
  }
  return { kind: "refused", reason };
}

/** Undefined: taken. */
async function attemptOnce(
  { id, body }: Delivery,
  { url, secret, fetch, now }: WebhookTarget,
): Promise<{ readonly reason: string; readonly transient: boolean } | undefined> {
  const timestamp = String(Math.floor(now() / 1_000));
  const signature = secret && createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/cloudevents+json; charset=utf-8",
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
    const transient = response.status >= 500 || TRANSIENT.has(response.status);
    return { reason: `answered ${response.status}`, transient };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error), transient: true };
  }
}
