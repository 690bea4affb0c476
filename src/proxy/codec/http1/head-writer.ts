/** Heads, from message to text: one latin1 string each, so that the owner of the socket can gather it with the body. */

import type { HeaderList, RequestHead, ResponseHead, StreamFault } from "../message.ts";

/** How a body is delimited (RFC 9112 §6). */
export type Framing =
  /** No body at all, whatever is sent as data. */
  | "none"
  | "length"
  | "chunked"
  /** Until the connection's end: the only way towards an HTTP/1.0 client when the length is unknown. */
  | "until-close"
  /** Not a body: bytes of another protocol, after 101 or a 2xx to CONNECT. */
  | "tunnel";

const REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  102: "Processing",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  207: "Multi-Status",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

const STATUS_LINES: readonly string[] = Array.from(
  { length: 1000 },
  (_, status) => `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`,
);

function statusLine(status: number): string {
  const line = status >= 100 ? STATUS_LINES[status] : undefined;
  if (line === undefined) throw new RangeError(`not a status code: ${status}`);
  return line;
}

/** What the connection adds to a response head. */
export interface ResponseFraming {
  readonly framing: Framing;
  /** What `content-length` says, also of a body that is not sent (HEAD, 304); undefined: it is not said. */
  readonly contentLength: number | undefined;
  /** `Connection: close` is said. */
  readonly close: boolean;
  /** `Connection: keep-alive` is said, which only an HTTP/1.0 client needs to hear. */
  readonly keepAlive: boolean;
  /** The protocol that a 101 switches to, or those that a 426 asks for. */
  readonly upgrade: string | undefined;
}

/** Writes a final response head, or a 101. */
export function responseHeadText(head: ResponseHead, connection: ResponseFraming): string {
  let text = statusLine(head.status) + fieldLines(head.headers);
  if (connection.framing === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (connection.contentLength !== undefined) text += `content-length: ${connection.contentLength}\r\n`;
  if (connection.upgrade !== undefined) {
    const options = connection.close ? "upgrade, close" : "upgrade";
    return `${text}connection: ${options}\r\nupgrade: ${connection.upgrade}\r\n\r\n`;
  }
  if (connection.close) return `${text}connection: close\r\n\r\n`;
  return connection.keepAlive ? `${text}connection: keep-alive\r\n\r\n` : `${text}\r\n`;
}

/** Writes a 1xx head (RFC 9110 §15.2), which has no body and ends nothing. */
export function informationalText(head: ResponseHead): string {
  return `${statusLine(head.status)}${fieldLines(head.headers)}\r\n`;
}

/**
 * Writes a request head. `Host` comes first (RFC 9110 §7.2). An `upgrade` is spelled GET and `Upgrade`, as HTTP/1.1
 * knows no other way, also where it arrived as an extended CONNECT (RFC 8441).
 */
export function requestHeadText(head: RequestHead, framing: Framing): string {
  const { method, upgrade } = head;
  const connect = method === "CONNECT" && upgrade === undefined;
  const target = connect ? head.authority : head.path;
  let text = `${method === "CONNECT" && !connect ? "GET" : method} ${target} HTTP/1.1\r\nhost: ${head.authority}\r\n`;
  text += fieldLines(head.headers);
  if (framing === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (framing === "length") text += `content-length: ${head.contentLength ?? 0}\r\n`;
  if (head.expectContinue) text += "expect: 100-continue\r\n";
  const te = hasField(head.headers, "te");
  if (upgrade !== undefined) {
    return `${text}connection: ${te ? "upgrade, te" : "upgrade"}\r\nupgrade: ${upgrade}\r\n\r\n`;
  }
  return te ? `${text}connection: te\r\n\r\n` : `${text}\r\n`;
}

/** CR, LF, NUL, and what latin1 cannot hold: its low byte might be one of them. */
const BREAKS_LINE = /[\r\n\0\u0100-\uffff]/;

/**
 * Field lines of a message. Throws on a field that would become two: every border validates its own, so that such a one
 * is our bug, and to stop is better than to be used for smuggling. Names that would speak of this connection or its
 * framing are left out: the codec says them itself, and a filter that sets one by mistake must not be able to break a
 * message in two.
 */
export function fieldLines(headers: HeaderList): string {
  let text = "";
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? "";
    const value = headers[at + 1] ?? "";
    if (isFramingName(name)) continue;
    if (BREAKS_LINE.test(value) || BREAKS_LINE.test(name)) throw new RangeError("a field that would break its line");
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

/** `name` in lower case. */
export function hasField(headers: HeaderList, name: string): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] === name) return true;
  }
  return false;
}

/**
 * HTTP/2 can have a length and trailers (RFC 9113 §8.1.1), HTTP/1.1 has to choose: what is announced (RFC 9110 §6.6.2)
 * would be lost behind a length.
 */
export function announcesTrailers(head: RequestHead | ResponseHead): boolean {
  return head.version === "2" && hasField(head.headers, "trailer");
}

/** By length first: most names are then told apart without comparing them. */
function isFramingName(name: string): boolean {
  switch (name.length) {
    case 4:
      return name === "host";
    case 7:
      return name === "upgrade";
    case 10:
      return name === "connection" || name === "keep-alive";
    case 14:
      return name === "content-length";
    case 16:
      return name === "proxy-connection";
    case 17:
      return name === "transfer-encoding";
    default:
      return false;
  }
}

/**
 * What the codec itself answers to a request that it could not even read. An owner may put its own in its place, or
 * this with a `date`, which a codec, having no clock, cannot tell.
 */
export function refusalText(fault: StreamFault, date?: string): string {
  const body = `${fault.detail}\n`;
  return (
    `${statusLine(fault.status ?? 400)}server: heddle\r\ncontent-type: text/plain\r\n` +
    `${date === undefined ? "" : `date: ${date}\r\n`}content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`
  );
}
