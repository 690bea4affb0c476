/**
 * What may be sent when, for either role: a message is informational heads, one head, data, and an end. Everything that
 * the table does not list is a bug of the caller.
 */

export type SendState = "head" | "body" | "done";
export type SendCall = "informational" | "head" | "head with end" | "data" | "data with end" | "trailers";

const TRANSITIONS: Readonly<Record<SendState, Readonly<Partial<Record<SendCall, SendState>>>>> = {
  head: { informational: "head", head: "body", "head with end": "done" },
  body: { data: "body", "data with end": "done", trailers: "done" },
  done: {},
};

/** The state after `call`. Throws where the order of calls is broken. */
export function afterSending(state: SendState, call: SendCall): SendState {
  const next = TRANSITIONS[state][call];
  if (next === undefined) throw new Error(`sent out of order: ${call} when the message is at its ${state}`);
  return next;
}
