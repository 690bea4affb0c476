/** Request heads, from fields and to fields (RFC 9113 §8.3.1, §8.5; RFC 8441 §4). */

import type { Limits } from "../../limits.ts";
import { isProtocol, isTargetText, isToken } from "../http1/grammar.ts";
import { parseAuthority } from "../http1/request-target.ts";
import type { RequestHead, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import type { FieldCollector } from "./field-collector.ts";
import { writeHeaders } from "./header-list.ts";
import type { HpackEncoder } from "./hpack/encoder.ts";

const SLASH = 0x2f;

/** Makes a request of a field section, or says why it is malformed. `end`: no body follows. */
export function readRequestHead(
  fields: FieldCollector,
  end: boolean,
  limits: Limits,
  connectionScheme: string,
): RequestHead | StreamFault {
  if (fields.fault !== undefined) return fields.fault;
  const { method, protocol } = fields;
  if (fields.status !== undefined) return FAULTS.pseudoUnexpected;
  if (method === undefined) return FAULTS.pseudoMissing;
  if (!isToken(method)) return FAULTS.method;
  if (protocol !== undefined && (method !== "CONNECT" || !isProtocol(protocol))) return FAULTS.protocol;
  const tunnel = method === "CONNECT" && protocol === undefined;
  const fault = (tunnel ? connectFault(fields) : targetFault(fields, method, limits)) ?? contentFault(fields, end);
  if (fault !== undefined) return fault;
  const authority = readAuthority(fields);
  if (typeof authority !== "string") return authority;
  if (tunnel && !/:[0-9]+$/.test(authority)) return FAULTS.target;
  return {
    method,
    path: fields.path ?? "",
    authority,
    scheme: fields.scheme ?? connectionScheme,
    absoluteForm: false,
    upgrade: protocol?.toLowerCase(),
    expectContinue: fields.expect !== undefined,
    headers: fields.headers,
    contentLength: fields.contentLength ?? (end ? 0 : undefined),
    version: "2",
  };
}

/** CONNECT names an authority and nothing else (§8.5). */
function connectFault(fields: FieldCollector): StreamFault | undefined {
  if (fields.scheme !== undefined || fields.path !== undefined) return FAULTS.pseudoUnexpected;
  return fields.authority === undefined ? FAULTS.pseudoMissing : undefined;
}

function targetFault(fields: FieldCollector, method: string, limits: Limits): StreamFault | undefined {
  const { scheme, path } = fields;
  if (scheme === undefined || path === undefined) return FAULTS.pseudoMissing;
  if (scheme !== "http" && scheme !== "https") return FAULTS.scheme;
  if (path.length > limits.targetBytesMax) return FAULTS.targetTooLong;
  if (!isTargetText(path)) return FAULTS.target;
  if (path.charCodeAt(0) === SLASH) return undefined;
  return path === "*" && method === "OPTIONS" ? undefined : FAULTS.target;
}

function contentFault(fields: FieldCollector, end: boolean): StreamFault | undefined {
  if (fields.expect !== undefined && fields.expect !== "100-continue") return FAULTS.expectation;
  // RFC 9110 §9.3.8: TRACE has no content, so that its head is its end.
  if (!end && fields.method === "TRACE") return FAULTS.traceContent;
  return end && fields.contentLength !== undefined && fields.contentLength > 0 ? FAULTS.lengthMismatch : undefined;
}

/** `:authority`, else `Host`; where there are both they must say the same, or someone else will read the other one. */
function readAuthority(fields: FieldCollector): string | StreamFault {
  const { authority, host } = fields;
  const text = authority ?? host;
  if (text === undefined) return "";
  const parsed = parseAuthority(text);
  if (parsed === undefined) return FAULTS.hostInvalid;
  if (authority !== undefined && host !== undefined && host !== authority && host.toLowerCase() !== parsed) {
    return FAULTS.hostMismatch;
  }
  return parsed;
}

/**
 * Encodes a request into the open block. A request for a switch of protocols goes out as extended CONNECT, whatever
 * method asked for it (RFC 8441 §4); the owner makes sure that the peer takes that.
 */
export function writeRequestHead(encoder: HpackEncoder, head: RequestHead): void {
  const { method, upgrade, headers, contentLength } = head;
  const tunnel = method === "CONNECT" && upgrade === undefined;
  encoder.field(":method", upgrade === undefined ? method : "CONNECT");
  if (!tunnel) {
    encoder.field(":scheme", head.scheme);
    encoder.field(":path", head.path);
  }
  if (head.authority !== "") encoder.field(":authority", head.authority);
  if (upgrade !== undefined) encoder.field(":protocol", upgrade);
  const hasLength = writeHeaders(encoder, headers);
  if (head.expectContinue) encoder.field("expect", "100-continue");
  if (!hasLength && contentLength !== undefined && contentLength > 0) {
    encoder.field("content-length", contentLength.toString());
  }
}
