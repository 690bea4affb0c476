/**
 * Field names that the codec knows: those that it acts upon, and the common ones, which then cost no allocation per
 * request because every message shares the same lower-case string.
 */

import { tokenLower } from "./grammar.ts";

/** What the codec does with a field. */
export const FieldKind = {
  plain: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  expect: 6,
  te: 7,
  /** Hop-by-hop without any use to us: `keep-alive`, `proxy-connection` (RFC 9110 §7.6.1). */
  dropped: 8,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface KnownField {
  readonly name: string;
  readonly kind: FieldKind;
}

const ACTED_UPON: readonly (readonly [string, FieldKind])[] = [
  ["host", FieldKind.host],
  ["content-length", FieldKind.contentLength],
  ["transfer-encoding", FieldKind.transferEncoding],
  ["connection", FieldKind.connection],
  ["upgrade", FieldKind.upgrade],
  ["expect", FieldKind.expect],
  ["te", FieldKind.te],
  ["keep-alive", FieldKind.dropped],
  ["proxy-connection", FieldKind.dropped],
];

const COMMON = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
  access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-request-headers
  access-control-request-method age allow authorization baggage cache-control content-disposition content-encoding
  content-language content-location content-range content-security-policy content-type cookie date dnt etag expires
  forwarded from grpc-encoding grpc-accept-encoding grpc-message grpc-status grpc-timeout if-match if-modified-since
  if-none-match if-range if-unmodified-since last-modified link location max-forwards origin pragma priority
  proxy-authenticate proxy-authorization range referer retry-after sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform
  sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-extensions
  sec-websocket-key sec-websocket-protocol sec-websocket-version server set-cookie strict-transport-security
  traceparent tracestate trailer upgrade-insecure-requests user-agent vary via www-authenticate x-b3-sampled
  x-b3-spanid x-b3-traceid x-content-type-options x-forwarded-client-cert x-forwarded-for x-forwarded-host
  x-forwarded-proto x-frame-options x-powered-by x-real-ip x-request-id x-requested-with`.split(/\s+/);

const BY_HASH = new Map<number, KnownField>();

/** One step of the names' hash; the parser takes it while it walks over a name. */
export function hashStep(hash: number, lowerCode: number): number {
  return (Math.imul(hash, 31) + lowerCode) | 0;
}

for (const [name, kind] of [...ACTED_UPON, ...COMMON.map((name) => [name, FieldKind.plain] as const)]) {
  let hash = 0;
  for (let at = 0; at < name.length; at++) hash = hashStep(hash, name.charCodeAt(at));
  if (BY_HASH.has(hash)) throw new Error(`field names collide: ${name}`);
  BY_HASH.set(hash, { name, kind });
}

/** The known field whose name stands at `start` to `end` of `text`, in whatever case; `hash` is that of its name. */
export function findKnownField(hash: number, text: string, start: number, end: number): KnownField | undefined {
  const known = BY_HASH.get(hash);
  if (known === undefined || known.name.length !== end - start) return undefined;
  const name = known.name;
  for (let at = start; at < end; at++) {
    if (tokenLower(text.charCodeAt(at)) !== name.charCodeAt(at - start)) return undefined;
  }
  return known;
}

/**
 * Fields that decide about framing, routing, access or a body's meaning. `Connection` may not name them (a client could
 * otherwise make this hop remove what an earlier one vouched for), so they are kept even if it does.
 */
export const NEVER_STRIPPED: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "authorization",
  "cookie",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-client-cert",
  "x-request-id",
  "traceparent",
]);

/**
 * Fields that mean nothing or something dangerous after the body (RFC 9110 §6.5.1): framing, routing, authentication,
 * request modifiers, response control, and how to read content. They are dropped from trailers, not merged.
 */
export const FORBIDDEN_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...ACTED_UPON.map(([name]) => name),
  "trailer",
  "authorization",
  "proxy-authorization",
  "proxy-authenticate",
  "www-authenticate",
  "cookie",
  "set-cookie",
  "cache-control",
  "max-forwards",
  "pragma",
  "range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "age",
  "date",
  "expires",
  "location",
  "retry-after",
  "vary",
  "content-type",
  "content-encoding",
  "content-range",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-client-cert",
  "x-request-id",
]);
