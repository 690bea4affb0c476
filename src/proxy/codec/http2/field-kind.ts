/**
 * What a header field is to this codec, as one integer: found once when the field enters an HPACK table, and then
 * carried along with it, so that a repeated field costs no string comparison.
 */

import { isFieldValueCode, isWhitespace, tokenLower } from "../http1/grammar.ts";

export const FieldKind = {
  Regular: 0,
  Method: 1,
  Path: 2,
  Scheme: 3,
  Authority: 4,
  Status: 5,
  Protocol: 6,
  Host: 7,
  Cookie: 8,
  ContentLength: 9,
  Te: 10,
  Expect: 11,
  /** Belongs to an HTTP/1.1 connection (RFC 9113 §8.2.2): makes a message malformed. */
  ConnectionSpecific: 12,
  /** A name or value that HTTP does not allow (RFC 9113 §8.2.1): makes a message malformed. */
  Malformed: 13,
} as const;

export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

const KINDS: ReadonlyMap<string, FieldKind> = new Map([
  [":method", FieldKind.Method],
  [":path", FieldKind.Path],
  [":scheme", FieldKind.Scheme],
  [":authority", FieldKind.Authority],
  [":status", FieldKind.Status],
  [":protocol", FieldKind.Protocol],
  ["host", FieldKind.Host],
  ["cookie", FieldKind.Cookie],
  ["content-length", FieldKind.ContentLength],
  ["te", FieldKind.Te],
  ["expect", FieldKind.Expect],
  ["connection", FieldKind.ConnectionSpecific],
  ["keep-alive", FieldKind.ConnectionSpecific],
  ["proxy-connection", FieldKind.ConnectionSpecific],
  ["transfer-encoding", FieldKind.ConnectionSpecific],
  ["upgrade", FieldKind.ConnectionSpecific],
]);

/** The kind of a name; `Malformed` unless it is a lower-case token or a pseudo-field that an RFC defines. */
export function kindOfName(name: string): FieldKind {
  const known = KINDS.get(name);
  if (known !== undefined) return known;
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (tokenLower(code) !== code) return FieldKind.Malformed;
  }
  return name.length > 0 ? FieldKind.Regular : FieldKind.Malformed;
}

/** The kind of a field whose name has kind `name`: `Malformed` if its value is not one (RFC 9113 §8.2.1). */
export function kindOfField(name: FieldKind, value: string): FieldKind {
  const { length } = value;
  if (length === 0) return name;
  if (isWhitespace(value.charCodeAt(0)) || isWhitespace(value.charCodeAt(length - 1))) return FieldKind.Malformed;
  for (let at = 0; at < length; at++) if (!isFieldValueCode(value.charCodeAt(at))) return FieldKind.Malformed;
  return name;
}
