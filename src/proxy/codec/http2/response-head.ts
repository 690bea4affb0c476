/** Response heads, from fields and to fields (RFC 9113 §8.3.2, §8.6). */

import type { ResponseHead, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import type { FieldCollector } from "./field-collector.ts";
import { writeHeaders } from "./header-list.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

const STATUS = /^[1-5][0-9][0-9]$/;

/** True for what may come before the final head. */
export function isInformational(status: number): boolean {
  return status < 200;
}

/** True for a response that has no body whatever its fields say (RFC 9110 §6.4.1); `toHead`: it answers HEAD. */
export function isBodiless(status: number, toHead: boolean): boolean {
  return toHead || status === 204 || status === 304;
}

/** Makes a response of a field section, or says why it is malformed. `end`: no body follows. */
export function readResponseHead(fields: FieldCollector, end: boolean, toHead: boolean): ResponseHead | StreamFault {
  if (fields.fault !== undefined) return fields.fault;
  const text = fields.status;
  if (text === undefined) return FAULTS.pseudoMissing;
  if (fields.method ?? fields.path ?? fields.scheme ?? fields.authority ?? fields.protocol) {
    return FAULTS.pseudoUnexpected;
  }
  // RFC 9113 §8.6: there is no switching of protocols within HTTP/2.
  if (!STATUS.test(text) || text === "101") return FAULTS.status;
  const status = Number(text);
  const { contentLength } = fields;
  if (isInformational(status)) {
    if (end) return FAULTS.informationalEnd;
  } else if (end && !isBodiless(status, toHead)) {
    if (contentLength !== undefined && contentLength > 0) return FAULTS.lengthMismatch;
    return { status, headers: fields.headers, contentLength: 0, version: "2" };
  }
  return { status, headers: fields.headers, contentLength, version: "2" };
}

/**
 * Encodes a response into the open block. `tunnel`: it answers an extended CONNECT, for which the 101 of an HTTP/1.1
 * upstream is a 200 (RFC 8441 §5).
 */
export function writeResponseHead(encoder: HpackEncoder, head: ResponseHead, tunnel: boolean): void {
  const status = tunnel && head.status === 101 ? 200 : head.status;
  encoder.field(":status", STATUS_TEXT[status] ?? status.toString());
  const hasLength = writeHeaders(encoder, head.headers);
  if (!hasLength && head.contentLength !== undefined && !isInformational(status) && status !== 204 && !tunnel) {
    encoder.field("content-length", head.contentLength.toString());
  }
}

/** Shared strings, so that the encoder finds each by a hash that is already known. */
const STATUS_TEXT: readonly string[] = Array.from({ length: 600 }, (_, status) => status.toString());
