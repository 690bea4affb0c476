/** Hands out tokens of mesh-wide rate limits on `heddle.quota.<namespace>.<service>`. */

import type { MeshState } from "../events/state.ts";
import type { Bus } from "../nats/bus.ts";
import { subjects } from "../nats/subjects.ts";
import { parseJson } from "../policy/json.ts";
import type { RateLimitSpec } from "../policy/schema.ts";
import { compileRateLimit } from "../projections/compile-resilience.ts";
import { type QuotaReply, type QuotaRequest, quotaRequest, rateLimitId } from "../projections/snapshot.ts";
import { QuotaBook, type QuotaRate } from "./quota-book.ts";

export interface QuotaServiceOptions {
  readonly bus: Bus;
  readonly state: () => MeshState;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonicMs: () => number;
}

/**
 * Serves until stopped. No queue group: every replica hears every question, and the first answer counts. The subject
 * says which service asks, which the NATS server vouches for; a service shares its own limits only.
 */
export function serveQuota({ bus, state, monotonicMs }: QuotaServiceOptions): { stop(): void } {
  const kept = { book: new QuotaBook(), index: new RuleIndex() };
  return bus.subscribe(subjects.allQuota, (message) => {
    const request = quotaRequest.safeParse(parseJson(message.data));
    // A malformed request gets no answer; that instance then counts by itself.
    if (!request.success) return;
    const [, , namespace = "", service = ""] = message.subject.split(".");
    const reply = answer(request.data, { namespace, service }, state(), kept, monotonicMs());
    message.respond(new TextEncoder().encode(JSON.stringify(reply)));
  });
}

function answer(
  { leases }: QuotaRequest,
  { namespace, service }: { readonly namespace: string; readonly service: string },
  state: MeshState,
  { book, index }: { readonly book: QuotaBook; readonly index: RuleIndex },
  nowMs: number,
): QuotaReply {
  const limits = state.namespaces.get(namespace)?.rateLimits;
  const grants = leases.map(({ document, rule: at, limit: id, bucket, owed, wanted }) => {
    const limit = limits?.get(document);
    const rules = limit?.value.service === service ? index.rulesOf(limit.value) : [];
    const rule = id === undefined ? rules[at] : rules.find((one) => one.id === id);
    // A rule that is gone, or one of a snapshot that we have yet to see: the next question will know more.
    if (rule === undefined) return { granted: 0, retryAfterMs: 1_000 };
    // Found by its content, not by its index: a rule inserted before it must not refill its buckets.
    const key = JSON.stringify([namespace, document, rule.id, bucket]);
    return book.lease(key, rule.rate, { owed, wanted }, nowMs);
  });
  return { grants };
}

interface IdentifiedRate {
  readonly id: string;
  readonly rate: QuotaRate;
}

/** The rules of documents, each with what tells it from the others. */
class RuleIndex {
  /** By document as the state has it, which is never changed. */
  readonly #known = new WeakMap<RateLimitSpec, IdentifiedRate[]>();

  rulesOf(spec: RateLimitSpec): readonly IdentifiedRate[] {
    let rules = this.#known.get(spec);
    if (rules === undefined) {
      const nowhere = { document: "", rule: 0, revision: 0, actor: "" };
      rules = spec.rules.map((rule) => {
        const rate = compileRateLimit(rule, nowhere);
        return { id: rateLimitId(rate), rate };
      });
      this.#known.set(spec, rules);
    }
    return rules;
  }
}
