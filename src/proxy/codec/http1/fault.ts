/** Every way in which a peer can break HTTP/1.1, as constants: refusing must not cost more than serving. */

import { peerReset, protocolError, refused } from "../fault.ts";
import type { StreamFault } from "../message.ts";

export const FAULTS = {
  // Lines and sections (RFC 9112 §2.2, §5)
  bareLineEnding: protocolError(400, "bare_cr_or_lf"),
  emptyStartLine: protocolError(400, "empty_start_line"),
  lineFolding: protocolError(400, "obsolete_line_folding"),
  fieldName: protocolError(400, "field_name_invalid"),
  fieldColon: protocolError(400, "field_colon_missing"),
  fieldValue: protocolError(400, "field_value_invalid"),
  headTooLarge: protocolError(431, "head_too_large"),
  headTimeout: protocolError(408, "head_timeout"),
  tooManyFields: protocolError(431, "too_many_fields"),
  trailersTooLarge: protocolError(431, "trailers_too_large"),

  // Start lines (RFC 9112 §3, §4)
  requestLine: protocolError(400, "request_line_invalid"),
  method: protocolError(400, "method_invalid"),
  target: protocolError(400, "target_invalid"),
  targetTooLong: protocolError(414, "target_too_long"),
  version: protocolError(505, "version_unsupported"),
  statusLine: protocolError(400, "status_line_invalid"),

  // Authority (RFC 9112 §3.2, RFC 9110 §7.2)
  hostMissing: protocolError(400, "host_missing"),
  hostRepeated: protocolError(400, "host_repeated"),
  hostInvalid: protocolError(400, "host_invalid"),

  // Framing (RFC 9112 §6, §7)
  lengthInvalid: protocolError(400, "content_length_invalid"),
  lengthRepeated: protocolError(400, "content_length_repeated"),
  lengthAndCoding: protocolError(400, "content_length_with_transfer_encoding"),
  codingInvalid: protocolError(400, "transfer_encoding_invalid"),
  codingUnknown: protocolError(501, "transfer_encoding_unknown"),
  codingVersion: protocolError(400, "transfer_encoding_from_http_1_0"),
  connectContent: protocolError(400, "content_with_connect"),
  traceContent: protocolError(400, "content_with_trace"),
  chunkSize: protocolError(400, "chunk_size_invalid"),
  chunkExtension: protocolError(400, "chunk_extension_invalid"),
  chunkLineTooLong: protocolError(400, "chunk_line_too_long"),
  chunkEnd: protocolError(400, "chunk_end_missing"),

  // Semantics
  connectionOption: protocolError(400, "connection_option_invalid"),
  expectation: protocolError(417, "expectation_unknown"),
  unaskedSwitch: protocolError(502, "switching_protocols_unasked"),
  tooManyInformational: protocolError(502, "too_many_informational_responses"),
  inputOverflow: protocolError(400, "input_overflow"),

  // The peer went away
  requestTruncated: peerReset("request_truncated"),
  responseTruncated: peerReset("response_truncated"),
  connectionClosed: peerReset("connection_closed"),
  closedBeforeResponse: peerReset("connection_closed_before_response"),
  /**
   * A kept-alive connection that the server closed while our next request was on its way, before any byte of a
   * response: the ordinary race of RFC 9112 §9.3.1. A request that may be repeated can go to another connection.
   */
  reusedConnectionClosed: peerReset("reused_connection_closed"),

  // Never reached the peer's application
  closedBeforeRequest: refused("connection_closed_before_request"),
  unsolicitedResponse: refused("unsolicited_response"),

  // Our own side
  lengthMismatch: Object.freeze({ kind: "cancelled", detail: "content_length_mismatch" }),
  earlyTunnelData: Object.freeze({ kind: "cancelled", detail: "tunnel_data_before_switch" }),
} as const satisfies Record<string, StreamFault>;
