/** PUSH_PROMISE (RFC 9113 §6.6): a client of ours forbids it (ENABLE_PUSH 0), a server never gets it. */

import { ConnectionError, PROTOCOL_ERROR } from "../error.ts";

export const PUSH_PROMISE = 0x5;

/** Always throws: whoever sends it breaks the protocol. */
export function refusePushPromise(): never {
  throw new ConnectionError(PROTOCOL_ERROR, "push_promise_not_allowed");
}
