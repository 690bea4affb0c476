/**
 * HTTP as the proxy sees it, whatever the wire version: heads, data, trailers, and streams that carry them.
 * A codec turns bytes into calls on a `StreamListener` and calls on an `HttpStream` into bytes; it owns no socket,
 * no timer and no promise. One exchange joins a downstream stream to an upstream one, so that HTTP/1.1 ⇄ HTTP/2 is
 * not a special case.
 */

/**
 * Header fields, flat: name, value, name, value… Names are lower-case tokens, values are latin1 strings without
 * surrounding white space. Order and repetition are kept. A codec never leaves framing or hop-by-hop fields in
 * (RFC 9110 §7.6.1: `connection` and what it names, `transfer-encoding`, `keep-alive`, `proxy-connection`, `te` but
 * for `trailers`, `upgrade`), nor `host` (it is `RequestHead.authority`), nor HTTP/2 pseudo-fields.
 * `content-length` stays, validated.
 */
export type HeaderList = string[];

export type HttpVersion = "1.0" | "1.1" | "2";

/** A request without its body. */
export interface RequestHead {
  method: string;
  /**
   * Path and query as received (origin-form), `*` for asterisk-form; for absolute-form the codec splits the URI into
   * `scheme`, `authority` and this. Empty for CONNECT without `:protocol`. The route stage normalises it, once.
   */
  path: string;
  /** `Host` or `:authority`, lower-cased; empty where HTTP/1.0 gave none. */
  authority: string;
  /** `http` unless the peer said otherwise. */
  scheme: string;
  /** Set when the request target was in absolute-form: the client takes us for its proxy. */
  absoluteForm: boolean;
  /** Protocol that the client asks to switch to (HTTP/1.1 `Upgrade`, HTTP/2 `:protocol`), lower-case. */
  upgrade: string | undefined;
  /** `Expect: 100-continue` stood in the request; the field itself is taken out. */
  expectContinue: boolean;
  headers: HeaderList;
  /** Body length if announced; undefined when unknown until its end. 0 when there is none. */
  contentLength: number | undefined;
  version: HttpVersion;
}

/** A response without its body. */
export interface ResponseHead {
  status: number;
  headers: HeaderList;
  /** Body length if announced; undefined when unknown until its end. */
  contentLength: number | undefined;
  /** Of a 426: the protocols that the request must be repeated in (RFC 9110 §15.5.22). Only HTTP/1.1 can say them. */
  upgrade?: string | undefined;
  version: HttpVersion;
}

/**
 * Why a stream or connection ended before its message did.
 * - `peer-reset`: the peer closed the connection or reset the stream; the environment, handled.
 * - `protocol-error`: the peer broke the protocol; `status` is what a server side answers (400, 413, 431, 501, 505).
 * - `refused`: certainly not processed (GOAWAY above the last id, REFUSED_STREAM): safe to try elsewhere.
 * - `cancelled`: our own side gave it up.
 * - `timeout`: a bound on time was hit.
 */
export interface StreamFault {
  readonly kind: "peer-reset" | "protocol-error" | "refused" | "cancelled" | "timeout";
  /** For logs and `response_code_details`: lower_snake_case, never holding what a client sent. */
  readonly detail: string;
  readonly status?: number;
}

/** What a codec tells the owner of one stream about the peer's side of it. `H` is the kind of head that comes in. */
export interface StreamListener<H> {
  /** A final head. `end`: no body and no trailers follow. Called once. */
  onHead(head: H, end: boolean): void;
  /** 1xx other than 101, only where responses come in. */
  onInformational(head: H): void;
  /** A piece of the body; the listener may keep `chunk`. `end`: nothing follows. */
  onData(chunk: Uint8Array, end: boolean): void;
  /** Trailers end the message. */
  onTrailers(trailers: HeaderList): void;
  /** What we send can flow again after `sendData` returned false. */
  onDrain(): void;
  /** The stream is over before its messages were. Nothing follows. */
  onFault(fault: StreamFault): void;
}

/** Our side of one stream: `H` is the kind of head that goes out. Calls out of order are our bug and throw. */
export interface HttpStream<H> {
  /** Sends 1xx; a codec to which it means nothing (an HTTP/1.0 peer) drops it. */
  sendInformational(head: H): void;
  /**
   * Sends the final head. `end`: no body follows. The codec decides the framing: `content-length` where
   * `head.contentLength` is known, else chunked, else until close.
   */
  sendHead(head: H, end: boolean): void;
  /** Sends body bytes; the codec may keep `chunk` until they are written. False: send no more until `onDrain`. */
  sendData(chunk: Uint8Array, end: boolean): boolean;
  /** Sends trailers and ends the message; a peer that cannot take trailers gets just the end. */
  sendTrailers(trailers: HeaderList): void;
  /**
   * Gives the stream up: RST_STREAM, or the connection's end where HTTP/1.1 knows no other way. Idempotent. After a
   * whole response, HTTP/2 only calls off the rest of the request, once the response has gone out (RFC 9113 §8.1).
   */
  reset(fault: StreamFault): void;
  /** Stops the flow of incoming data (closes the window, stops reading); data on its way may still arrive. */
  pause(): void;
  resume(): void;
}

export type ServerStream = HttpStream<ResponseHead>;
export type ClientStream = HttpStream<RequestHead>;

/** Where a codec puts its bytes, and how it asks for the connection's end. The owner of the socket implements it. */
export interface ConnectionOutput {
  /** Queues bytes; they go out together at the end of the event-loop turn. The string form is latin1. */
  write(bytes: Uint8Array | string): void;
  /** Queues a copy of `bytes[start, end)`, which may be written over at once. */
  writeCopy(bytes: Buffer, start: number, end: number): void;
  /** Bytes queued and not yet taken by the kernel. */
  readonly queuedBytes: number;
  /** Stop, or go on, reading from the socket. */
  pauseReading(): void;
  resumeReading(): void;
  /** Half-close after what is queued has gone out. */
  end(): void;
  /** Tear the connection down now. */
  destroy(): void;
}

/** How the owner of the socket, who knows the time, finds out whether the peer is still there. */
export interface PeerProbe {
  /** False until the peer has acknowledged our settings (RFC 9113 §6.5.3). */
  readonly settingsAcknowledged: boolean;
  /** Has the peer send something. */
  ping(): void;
  /** It took too long to acknowledge our settings, or to answer: every stream faults, and the connection ends. */
  giveUp(waitedFor: "settings" | "ping"): void;
}

/** Bytes in. What every codec offers to the owner of the socket. */
export interface ConnectionInput {
  receive(chunk: Uint8Array): void;
  /** The peer closed its sending side. */
  receiveEnd(): void;
  /** The socket is gone. Every open stream faults. */
  receiveClose(): void;
  /** The socket took what was queued. */
  drained(): void;
  readonly openStreams: number;
}

/** A connection on which peers send us requests. */
export interface ServerConnection extends ConnectionInput {
  /** Absent where the protocol has no such means. */
  readonly probe?: PeerProbe;
  /**
   * No new streams: finish those open, tell the peer (`Connection: close`, GOAWAY), then end. Called again, it waits no
   * longer for a peer that has not said that it heard.
   */
  drain(): void;
  /**
   * A head has been coming for too long: answers it. False where none is, or nothing can be answered.
   * Absent where the protocol has none.
   */
  giveUpHead?(): boolean;
}

/** A connection on which we send requests. */
export interface ClientConnection extends ConnectionInput {
  /** Absent where the protocol has no such means. */
  readonly probe?: PeerProbe;
  /** How many more streams can be opened now. */
  readonly capacity: number;
  /** True once the connection will take no more streams at all (GOAWAY, `Connection: close`, fault). */
  readonly retired: boolean;
  open(listener: StreamListener<ResponseHead>): ClientStream;
  /** No new streams; ends when the open ones have. */
  drain(): void;
}

/** Called by a server codec for each request: returns who listens to it. */
export type AcceptStream = (stream: ServerStream) => StreamListener<RequestHead>;
