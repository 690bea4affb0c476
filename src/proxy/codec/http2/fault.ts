/** Every way in which one HTTP/2 message can be malformed, as constants: refusing must not cost more than serving. */

import { peerReset, protocolError, refused } from "../fault.ts";
import type { StreamFault } from "../message.ts";

export const FAULTS = {
  // Fields (RFC 9113 §8.2)
  field: protocolError(400, "field_invalid"),
  connectionField: protocolError(400, "connection_specific_field"),
  te: protocolError(400, "te_not_trailers"),
  pseudoMisplaced: protocolError(400, "pseudo_field_misplaced"),
  pseudoRepeated: protocolError(400, "pseudo_field_repeated"),
  headTooLarge: protocolError(431, "head_too_large"),
  tooManyFields: protocolError(431, "too_many_fields"),
  trailersTooLarge: protocolError(431, "trailers_too_large"),

  // Requests (RFC 9113 §8.3.1, §8.5, RFC 8441 §4)
  pseudoMissing: protocolError(400, "pseudo_field_missing"),
  pseudoUnexpected: protocolError(400, "pseudo_field_unexpected"),
  method: protocolError(400, "method_invalid"),
  scheme: protocolError(400, "scheme_invalid"),
  target: protocolError(400, "target_invalid"),
  targetTooLong: protocolError(414, "target_too_long"),
  hostInvalid: protocolError(400, "host_invalid"),
  hostRepeated: protocolError(400, "host_repeated"),
  hostMismatch: protocolError(400, "host_differs_from_authority"),
  protocol: protocolError(400, "protocol_invalid"),
  expectation: protocolError(417, "expectation_unknown"),
  traceContent: protocolError(400, "content_with_trace"),

  // Responses (RFC 9113 §8.3.2, §8.6)
  status: protocolError(502, "status_invalid"),
  tooManyInformational: protocolError(502, "too_many_informational_responses"),
  informationalEnd: protocolError(502, "informational_ends_stream"),

  // Framing (RFC 9113 §5.1, §8.1)
  lengthInvalid: protocolError(400, "content_length_invalid"),
  lengthRepeated: protocolError(400, "content_length_repeated"),
  lengthMismatch: protocolError(400, "content_length_mismatch"),
  order: protocolError(400, "frame_out_of_order"),
  closedSide: protocolError(400, "frame_after_end_stream"),
  selfDependency: protocolError(400, "stream_depends_on_itself"),
  frameSize: protocolError(400, "frame_length_wrong"),
  windowExceeded: protocolError(400, "stream_window_exceeded"),
  windowOverflow: protocolError(400, "stream_window_overflow"),
  windowIncrement: protocolError(400, "window_increment_zero"),

  // The peer went away, or never took the stream
  pingUnanswered: peerReset("ping_unanswered"),
  connectionClosed: peerReset("connection_closed"),
  goaway: refused("goaway"),
  extendedConnect: refused("extended_connect_unsupported"),
} as const satisfies Record<string, StreamFault>;
