/** The kinds of fault that both protocols name, each made once and shared: refusing must not cost more than serving. */

import type { StreamFault } from "./message.ts";

/** @param status that an HTTP peer is answered with, where it can still be answered. */
export function protocolError(status: number, detail: string): StreamFault {
  return Object.freeze({ kind: "protocol-error", detail, status });
}

/** The peer went away or gave the message up. */
export function peerReset(detail: string): StreamFault {
  return Object.freeze({ kind: "peer-reset", detail });
}

/** The request never reached the peer's application: it may be sent again elsewhere. */
export function refused(detail: string): StreamFault {
  return Object.freeze({ kind: "refused", detail });
}
