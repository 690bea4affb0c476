/** How one call of our application is made: the attempts' endpoints, what each is told, and when they end. */

import type { RequestRecord } from "../telemetry/request-record.ts";
import type { HeaderList, RequestHead } from "./codec/message.ts";
import { type CallerTerms, HOP_FIELDS, writeAttempt, writeTimeout } from "./deadline.ts";
import { asksForTcp, withoutFields } from "./headers.ts";
import type { Downstream } from "./io/downstream.ts";
import { MIRROR_FIELD } from "./mirror-field.ts";
import type { Route } from "./route/compile.ts";
import { hashKey } from "./route/hash-key.ts";
import type { Runtime } from "./runtime.ts";
import { PORT_FIELD, portIn, portOf, type ServicePort } from "./service-port.ts";
import type { Bandwidth, CallPlan } from "./upstream/call-plan.ts";
import type { ServiceEndpoints } from "./upstream/endpoints.ts";
import { hashText } from "./upstream/hash-table.ts";

/** What a plan is made from. */
export interface PlannedCall {
  readonly route: Route;
  /** The one that is called, of those that the service has. */
  readonly port: ServicePort;
  /** Undefined: nothing is known of the service's instances yet. */
  readonly endpoints: ServiceEndpoints | undefined;
  readonly headers: HeaderList;
  readonly downstream: Downstream;
  readonly record: RequestRecord;
  readonly terms: CallerTerms;
  /** How long it is held up on purpose. */
  readonly delayMs?: number | undefined;
  /** How fast its bodies may go, on purpose. */
  readonly bandwidth?: Bandwidth | undefined;
}

/** Fields that only the mesh may set: what an application says in them is dropped. */
const TRUSTED_FIELDS: ReadonlySet<string> = new Set([
  "x-forwarded-client-cert",
  "x-heddle-denied",
  "x-request-id",
  PORT_FIELD,
  MIRROR_FIELD,
  ...HOP_FIELDS,
]);

/** The plan of one call; nothing is opened or sent yet. */
export function planCall(runtime: Runtime, call: PlannedCall): CallPlan {
  const { upstream, rule, subset } = call.route;
  const { port, endpoints, record } = call;
  const { timeoutMs: callerMs = Number.POSITIVE_INFINITY, attempt: firstAttempt } = call.terms;
  const { timeoutMs: ruleMs = Number.POSITIVE_INFINITY, retries } = rule;
  const { perTryTimeoutMs = Number.POSITIVE_INFINITY } = retries ?? {};
  const allMs = Math.min(ruleMs, callerMs);
  // The clock is read only where there is a deadline.
  const giveUpAtMs = allMs === Number.POSITIVE_INFINITY ? allMs : runtime.monotonicMs() + allMs;
  // Never more than there was: adding and taking away the same moment may leave a trace behind the point, which rounding
  // up for the next hop would make a millisecond.
  const leftMs = (): number => (giveUpAtMs === allMs ? allMs : Math.min(giveUpAtMs - runtime.monotonicMs(), allMs));
  const hash = hashOf(call);
  return {
    pick: (tried) => endpoints?.pick({ subset, tried, hash, random: runtime.random }),
    retries,
    budget: retries === undefined ? undefined : endpoints?.retryBudget,
    takesRetry: endpoints && (() => endpoints.breaker.takes("maxRetries")),
    isRetry: firstAttempt > 1,
    leftMs,
    delayMs: call.delayMs,
    bandwidth: call.bandwidth,
    head: (head, attempt) => {
      if (asksForTcp(head)) return { ...head, authority: connectAuthority(port, head) };
      const outgoing = outgoingHead(head, record.requestId ?? "");
      // The other end reads the authority as we do; only what it could not read there is said beside it.
      if (portOf(upstream.ports, false, portIn(head.authority)) !== port) {
        outgoing.headers.push(PORT_FIELD, String(port.port));
      }
      writeAttempt(outgoing.headers, firstAttempt + attempt - 1);
      const attemptMs = Math.min(leftMs(), perTryTimeoutMs);
      if (attemptMs !== Number.POSITIVE_INFINITY) writeTimeout(outgoing.headers, attemptMs, record.isGrpc);
      return outgoing;
    },
  };
}

function hashOf({ route, headers, downstream }: PlannedCall): number | undefined {
  const by = route.upstream.balancing?.hash;
  if (by === undefined) return undefined;
  const { remoteAddress } = downstream.facts;
  const key = hashKey(by, headers, remoteAddress.slice(0, remoteAddress.lastIndexOf(":")));
  return key === undefined ? undefined : hashText(key);
}

/** CONNECT names a port (RFC 9113 §8.5): the service's own, whatever the local one is. */
function connectAuthority({ port }: ServicePort, head: RequestHead): string {
  return `${head.authority.replace(/:\d+$/, "")}:${port}`;
}

/** The head as it goes out. The request is ours alone by now: its list is changed in place, attempt by attempt. */
function outgoingHead(head: RequestHead, id: string): RequestHead {
  const headers = withoutFields(head.headers, TRUSTED_FIELDS);
  headers.push("x-request-id", id);
  head.headers = headers;
  return head;
}
