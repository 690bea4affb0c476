/** Asks control for tokens over NATS. */

import type { Bus } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import { quotaReply } from "../../projections/snapshot.ts";
import type { AskQuota } from "../quota-client.ts";

/** Without an answer by then, control counts as out of reach. */
const ANSWER_WITHIN_MS = 2_000;

/** Rejects where nobody answers in time, or the answer is not understood. */
export function quotaOverBus(bus: Bus, namespace: string, service: string): AskQuota {
  const subject = subjects.quota(namespace, service);
  return async (request) => {
    const data = new TextEncoder().encode(JSON.stringify(request));
    const reply = await bus.request(subject, data, { timeoutMs: ANSWER_WITHIN_MS });
    return quotaReply.parse(JSON.parse(new TextDecoder().decode(reply)));
  };
}
