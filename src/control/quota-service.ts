/** Hands out tokens of mesh-wide rate limits on `heddle.quota.<namespace>.<service>`. */

import type { MeshState } from "../events/state.ts";
import type { Bus } from "../nats/bus.ts";
import { subjects } from "../nats/subjects.ts";
import { parseJson } from "../policy/json.ts";
import { compileRateLimit } from "../projections/compile-resilience.ts";
import { type QuotaReply, type QuotaRequest, quotaRequest, rateLimitKey } from "../projections/snapshot.ts";
import { QuotaBook } from "./quota-book.ts";

export interface QuotaServiceOptions {
  readonly bus: Bus;
  readonly state: () => MeshState;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonicMs: () => number;
}

/**
 * Serves until stopped. No queue group: every replica hears every question, and the first answer counts. The subject says
 * which service asks, which the NATS server vouches for; a service shares its own limits only.
 */
export function serveQuota({ bus, state, monotonicMs }: QuotaServiceOptions): { stop(): void } {
  const book = new QuotaBook();
  return bus.subscribe(subjects.allQuota, (message) => {
    const request = quotaRequest.safeParse(parseJson(message.data));
    // Whoever asks nonsense gets no answer, and counts by itself.
    if (!request.success) return;
    const [, , namespace = "", service = ""] = message.subject.split(".");
    const reply = answer(request.data, { namespace, service }, state(), book, monotonicMs());
    message.respond(new TextEncoder().encode(JSON.stringify(reply)));
  });
}

function answer(
  { leases }: QuotaRequest,
  { namespace, service }: { readonly namespace: string; readonly service: string },
  state: MeshState,
  book: QuotaBook,
  nowMs: number,
): QuotaReply {
  const limits = state.namespaces.get(namespace)?.rateLimits;
  const grants = leases.map(({ document, rule: index, bucket, owed, wanted }) => {
    const limit = limits?.get(document);
    const rule = limit?.value.service === service ? limit.value.rules[index] : undefined;
    // A rule that is gone, or one of a snapshot that we have yet to see: the next question will know more.
    if (limit === undefined || rule === undefined) return { granted: 0, retryAfterMs: 1_000 };
    const { revision, actor } = limit.origin;
    const rate = compileRateLimit(rule, { document, rule: index, revision, actor });
    // By what it says, and not by where it stands: a rule that is put before it does not fill its buckets again.
    const key = JSON.stringify([namespace, Bun.hash(rateLimitKey(rate)).toString(36), bucket]);
    return book.lease(key, rate, { owed, wanted }, nowMs);
  });
  return { grants };
}
