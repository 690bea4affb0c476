/** Heads, from text to message (RFC 9112 §3, §4, §6): start line, fields, and how the body will be framed. */

import type { Limits } from "../../limits.ts";
import type { HttpVersion, RequestHead, ResponseHead, StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import type { FieldSection } from "./field-section.ts";
import { CR, isTargetText, isToken, SPACE } from "./grammar.ts";
import type { InputBuffer } from "./input-buffer.ts";
import { parseAuthority, parseTarget } from "./request-target.ts";

const SLASH = 0x2f;
const VERSION_LENGTH = " HTTP/1.1".length;

/** Shared strings: what a message keeps should not keep the whole head alive. */
const METHODS = new Map(
  ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"].map((method) => [method, method]),
);

/**
 * Parses a whole request head, its final empty line included. What the fields say about the connection stays in
 * `section`. `scheme` is that of the connection, for targets that do not name one.
 */
export function parseRequestHead(
  text: string,
  section: FieldSection,
  limits: Limits,
  scheme: string,
): RequestHead | StreamFault {
  if (text.charCodeAt(0) === CR) return FAULTS.emptyStartLine;
  const lineEnd = text.indexOf("\r\n");
  const methodEnd = text.indexOf(" ");
  const targetEnd = lineEnd - VERSION_LENGTH;
  const version = requestVersion(text, lineEnd);
  if (typeof version !== "string") return version;
  if (methodEnd >= targetEnd) return FAULTS.requestLine;
  const spelled = text.slice(0, methodEnd);
  const known = METHODS.get(spelled);
  if (known === undefined && !isToken(spelled)) return FAULTS.method;
  const method = known ?? spelled;
  if (targetEnd - methodEnd - 1 > limits.targetBytesMax) return FAULTS.targetTooLong;
  const target = text.slice(methodEnd + 1, targetEnd);

  const fault = section.parse(text, lineEnd + 2) ?? requestFramingFault(section, method, version);
  if (fault !== undefined) return fault;
  const head: RequestHead = {
    method,
    path: target,
    authority: "",
    scheme,
    absoluteForm: false,
    upgrade: version === "1.1" && mayUpgrade(section, method) ? section.upgrade : undefined,
    expectContinue: version === "1.1" && section.expect === "100-continue",
    headers: section.headers,
    contentLength: section.chunked ? undefined : (section.contentLength ?? 0),
    version,
  };
  return fillTarget(head, section.host) ?? head;
}

/** The fault of a request head beyond its bound: that of the request line, where not even that has ended. */
export function tooLargeFault({ bytes, start }: InputBuffer, limits: Limits): StreamFault {
  const lineEnd = bytes.indexOf(CR, start);
  if (lineEnd >= 0 && lineEnd - start <= limits.targetBytesMax) return FAULTS.headTooLarge;
  const methodEnd = bytes.indexOf(SPACE, start);
  return methodEnd < 0 || methodEnd - start > limits.targetBytesMax ? FAULTS.method : FAULTS.targetTooLong;
}

/** Puts path, authority and scheme into `head` (RFC 9112 §3.2, §3.3); a fault when they are malformed. */
function fillTarget(head: RequestHead, host: string | undefined): StreamFault | undefined {
  // RFC 9112 §3.2: even where the target's authority wins, a bad Host is refused: someone else may read that one.
  if (host !== undefined) {
    const authority = parseAuthority(host);
    if (authority === undefined) return FAULTS.hostInvalid;
    head.authority = authority;
  } else if (head.version === "1.1") return FAULTS.hostMissing;

  const text = head.path;
  if (text.charCodeAt(0) === SLASH && head.method !== "CONNECT") return isTargetText(text) ? undefined : FAULTS.target;
  const target = parseTarget(head.method, text);
  if ("kind" in target) return target;
  head.path = target.path;
  if (target.authority !== undefined) head.authority = target.authority;
  if (target.scheme !== undefined) {
    head.scheme = target.scheme;
    head.absoluteForm = true;
  }
  return undefined;
}

/** Version at the end of a request line. One of another major number is a 505. */
function requestVersion(text: string, lineEnd: number): HttpVersion | StreamFault {
  const start = lineEnd - VERSION_LENGTH;
  if (start <= 0) return FAULTS.requestLine;
  if (text.startsWith(" HTTP/1.1", start)) return "1.1";
  const version = text.charCodeAt(start) === SPACE ? otherVersion(text.slice(start + 1, lineEnd)) : undefined;
  return version ?? FAULTS.requestLine;
}

/**
 * RFC 9110 §2.5: a higher minor version than ours is read as ours, for that is how it was made to be read. What goes on
 * to the next hop says our version in any case. Undefined for what is no version.
 */
function otherVersion(text: string): HttpVersion | StreamFault | undefined {
  if (text === "HTTP/1.0") return "1.0";
  const [, major] = /^HTTP\/([0-9])\.[0-9]$/.exec(text) ?? [];
  if (major === undefined) return undefined;
  return major === "1" ? "1.1" : FAULTS.version;
}

function requestFramingFault(section: FieldSection, method: string, version: HttpVersion): StreamFault | undefined {
  // RFC 9112 §6.1: whoever sends transfer codings under HTTP/1.0 has a framing that others misread.
  if (section.chunked && version === "1.0") return FAULTS.codingVersion;
  if (section.chunked || (section.contentLength ?? 0) > 0) {
    if (method === "CONNECT") return FAULTS.connectContent;
    // RFC 9110 §9.3.8: a client must not send any, and a server that does not expect it may take it for a request.
    if (method === "TRACE") return FAULTS.traceContent;
  }
  // RFC 9110 §10.1.1: an expectation from an HTTP/1.0 client means nothing.
  if (version === "1.1" && section.expect !== undefined && section.expect !== "100-continue") return FAULTS.expectation;
  return undefined;
}

/**
 * Extended CONNECT has neither a method nor content to carry (RFC 8441 §4): of a request that has more to say than GET
 * does, the wish to switch is passed over (RFC 9110 §7.8), and not the request.
 */
function mayUpgrade(section: FieldSection, method: string): boolean {
  return method === "GET" && !section.chunked && (section.contentLength ?? 0) === 0;
}

/** Parses a whole response head, its final empty line included (RFC 9112 §4). */
export function parseResponseHead(text: string, section: FieldSection): ResponseHead | StreamFault {
  if (text.charCodeAt(0) === CR) return FAULTS.emptyStartLine;
  const version = responseVersion(text);
  if (typeof version !== "string") return version;
  const status = statusCode(text);
  const lineEnd = text.indexOf("\r\n");
  // The reason phrase means nothing and is not kept; that it and its space may be missing is common practice.
  if (status < 100 || !isReason(text, lineEnd)) return FAULTS.statusLine;

  const fault = section.parse(text, lineEnd + 2);
  if (fault !== undefined) return fault;
  if (section.chunked && version === "1.0") return FAULTS.codingVersion;
  return { status, headers: section.headers, contentLength: section.contentLength, version };
}

function responseVersion(text: string): HttpVersion | StreamFault {
  if (text.startsWith("HTTP/1.1 ")) return "1.1";
  const version =
    text.charCodeAt(VERSION_LENGTH - 1) === SPACE ? otherVersion(text.slice(0, VERSION_LENGTH - 1)) : undefined;
  return version ?? FAULTS.statusLine;
}

/** The three digits after `HTTP/1.x `, or 0. */
function statusCode(text: string): number {
  let status = 0;
  for (let at = VERSION_LENGTH; at < VERSION_LENGTH + 3; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return 0;
    status = status * 10 + digit;
  }
  return status;
}

/** Nothing, or a space and a text without control characters. */
function isReason(text: string, lineEnd: number): boolean {
  const start = VERSION_LENGTH + 3;
  if (lineEnd === start) return true;
  return text.charCodeAt(start) === SPACE && !/[\x00-\x08\x0a-\x1f\x7f]/.test(text.slice(start, lineEnd));
}
