/** How far OPTIONS and TRACE may go, where their caller bounds it (RFC 9110 §7.6.2). Other methods have no such bound. */

import type { RequestHead } from "./codec/message.ts";
import type { FaultContext, LocalResponse } from "./respond.ts";
import { ruleResponse } from "./rule-response.ts";

const FIELD = "max-forwards";
/** `1*DIGIT`, of a size that a number holds; what is none is not ours to mend, and goes on as it is. */
const COUNT = /^[0-9]{1,15}$/;

/**
 * Takes one from the count of the request, which is changed in place. The answer of this hop, where it may not go any
 * further: TRACE is not implemented here, for it would show a caller what the hops before us added.
 */
export function takeForward({ method, headers }: RequestHead, context: FaultContext): LocalResponse | undefined {
  if (method !== "OPTIONS" && method !== "TRACE") return undefined;
  const at = headers.findIndex((name, index) => index % 2 === 0 && name === FIELD);
  const count = headers[at + 1] ?? "";
  if (at < 0 || !COUNT.test(count)) return undefined;
  if (Number(count) === 0) {
    return ruleResponse(context, { status: method === "OPTIONS" ? 200 : 501, details: "max_forwards_reached" });
  }
  headers[at + 1] = String(Number(count) - 1);
  return undefined;
}
