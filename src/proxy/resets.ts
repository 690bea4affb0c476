/** Why an exchange gives up the stream of its caller. */

import type { StreamFault } from "./codec/message.ts";

export const RESETS = {
  /** The response is there; the rest of the request is of no use. */
  answeredEarly: { kind: "cancelled", detail: "answered_early" },
  /** To an HTTP/2 client an error, and no mere CANCEL, behind which some (Node) see a response that is over. */
  responseIncomplete: { kind: "peer-reset", detail: "response_incomplete" },
  /** What the reset of a TCP connection becomes (RFC 8441 §5). */
  tunnelCut: { kind: "cancelled", detail: "tunnel_cut" },
} as const satisfies Record<string, StreamFault>;
