/** Error codes (RFC 9113 §7) and the one exception by which a violation ends a connection. */

import type { StreamFault } from "../message.ts";

export const NO_ERROR = 0x0;
export const PROTOCOL_ERROR = 0x1;
const INTERNAL_ERROR = 0x2;
export const FLOW_CONTROL_ERROR = 0x3;
export const SETTINGS_TIMEOUT = 0x4;
export const STREAM_CLOSED = 0x5;
export const FRAME_SIZE_ERROR = 0x6;
export const REFUSED_STREAM = 0x7;
const CANCEL = 0x8;
export const COMPRESSION_ERROR = 0x9;
export const ENHANCE_YOUR_CALM = 0xb;

const NAMES = [
  "no_error",
  "protocol_error",
  "internal_error",
  "flow_control_error",
  "settings_timeout",
  "stream_closed",
  "frame_size_error",
  "refused_stream",
  "cancel",
  "compression_error",
  "connect_error",
  "enhance_your_calm",
  "inadequate_security",
  "http_1_1_required",
];

/** The name of a code for logs, lower_snake_case; a code that no RFC knows is `unknown`. */
function errorName(code: number): string {
  return NAMES[code] ?? "unknown";
}

/**
 * The peer broke the protocol in a way that ends the whole connection (RFC 9113 §5.4.1). Thrown while its bytes are
 * read and caught in `Http2Connection.receive` only. Faults of one stream are never thrown.
 */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: number;
  /** lower_snake_case; goes into GOAWAY's debug data and into the faults of the open streams. */
  readonly detail: string;

  constructor(code: number, detail: string) {
    super(`${errorName(code)}: ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}

/** What an RST_STREAM from the peer means to the stream's listener. */
export function faultOfReset(code: number): StreamFault {
  return code === REFUSED_STREAM
    ? { kind: "refused", detail: "refused_stream" }
    : { kind: "peer-reset", detail: `reset_${errorName(code)}` };
}

/**
 * The code by which we tell the peer why we give a stream up. A server that has answered in full needs no more of the
 * request and says so with NO_ERROR (RFC 9113 §8.1); what failed behind a server is not the client's fault.
 */
export function resetCodeOf(fault: StreamFault, isServer: boolean, answered: boolean): number {
  if (isServer && answered) return NO_ERROR;
  switch (fault.kind) {
    case "refused":
      return REFUSED_STREAM;
    case "cancelled":
    case "timeout":
      return CANCEL;
    case "peer-reset":
    case "protocol-error":
      return isServer ? INTERNAL_ERROR : CANCEL;
  }
}
