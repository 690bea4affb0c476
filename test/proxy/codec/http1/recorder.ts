/** Test support: an output and listeners that write down what they are told, in a form that packet cuts do not change. */

import { Http1ClientConnection } from "../../../../src/proxy/codec/http1/client-connection.ts";
import { Http1ServerConnection } from "../../../../src/proxy/codec/http1/server-connection.ts";
import type {
  ConnectionInput,
  ConnectionOutput,
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamFault,
  StreamListener,
} from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../../src/proxy/limits.ts";

/** Keeps what is written; `queuedBytes` is set by the test. */
export class RecordingOutput implements ConnectionOutput {
  text = "";
  queuedBytes = 0;
  reading = true;
  ended = false;
  destroyed = false;

  write(bytes: Uint8Array | string): void {
    if (this.ended || this.destroyed) throw new Error("written after the end");
    this.text += typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
  }

  writeCopy(bytes: Buffer, start: number, end: number): void {
    this.write(Buffer.from(bytes.subarray(start, end)));
  }
  pauseReading(): void {
    if (!this.reading) throw new Error("paused twice");
    this.reading = false;
  }
  resumeReading(): void {
    if (this.reading) throw new Error("resumed twice");
    this.reading = true;
  }
  end(): void {
    if (this.ended) throw new Error("ended twice");
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }

  /** How the connection stands: `open`, `ended` (half-closed after what was written) or `destroyed`. */
  get fate(): "open" | "ended" | "destroyed" {
    return this.destroyed ? "destroyed" : this.ended ? "ended" : "open";
  }
}

/** One incoming message, its data joined. */
export class RecordedMessage<H> implements StreamListener<H> {
  head: H | undefined;
  informational: H[] = [];
  body = "";
  trailers: HeaderList | undefined;
  ended = false;
  fault: StreamFault | undefined;
  drains = 0;
  /** Called after each event, with this message brought up to date. */
  onEvent: (() => void) | undefined;

  onHead(head: H, end: boolean): void {
    if (this.head !== undefined) throw new Error("a second head");
    this.head = head;
    this.#step(end);
  }
  onInformational(head: H): void {
    if (this.head !== undefined) throw new Error("informational after the head");
    this.informational.push(head);
    this.#step(false);
  }
  onData(chunk: Uint8Array, end: boolean): void {
    if (this.head === undefined) throw new Error("data before the head");
    if (chunk.byteLength === 0 && !end) throw new Error("a piece of nothing");
    this.body += Buffer.from(chunk).toString("latin1");
    this.#step(end);
  }
  onTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.#step(true);
  }
  onDrain(): void {
    this.drains++;
    this.onEvent?.();
  }
  onFault(fault: StreamFault): void {
    if (this.fault !== undefined) throw new Error("a second fault");
    this.fault = fault;
    this.onEvent?.();
  }

  #step(end: boolean): void {
    if (this.ended || this.fault !== undefined) throw new Error("an event after the end");
    this.ended = end;
    this.onEvent?.();
  }
}

export class RecordedRequest extends RecordedMessage<RequestHead> {
  readonly stream: ServerStream;
  constructor(stream: ServerStream) {
    super();
    this.stream = stream;
  }
}

export interface ServerUnderTest {
  readonly connection: Http1ServerConnection;
  readonly output: RecordingOutput;
  readonly requests: RecordedRequest[];
}

/** `onRequest` is called after each event of each request. */
export function serverUnderTest(
  onRequest?: (request: RecordedRequest) => void,
  limits: Partial<Limits> = {},
): ServerUnderTest {
  const output = new RecordingOutput();
  const requests: RecordedRequest[] = [];
  const connection = new Http1ServerConnection({
    output,
    limits: { ...DEFAULT_LIMITS, ...limits },
    scheme: "http",
    accept: (stream) => {
      const request = new RecordedRequest(stream);
      requests.push(request);
      if (onRequest !== undefined) request.onEvent = () => onRequest(request);
      return request;
    },
  });
  return { connection, output, requests };
}

export interface ClientUnderTest {
  readonly connection: Http1ClientConnection;
  readonly output: RecordingOutput;
}

export function clientUnderTest(limits: Partial<Limits> = {}): ClientUnderTest {
  const output = new RecordingOutput();
  return { output, connection: new Http1ClientConnection({ output, limits: { ...DEFAULT_LIMITS, ...limits } }) };
}

/** A response that says what arrived, once the request has ended. */
export function answer(request: RecordedRequest, body = "ok"): void {
  if (!request.ended || request.fault !== undefined) return;
  request.stream.sendHead(responseHead(200, [], body.length), body === "");
  if (body !== "") request.stream.sendData(bytes(body), true);
}

export function requestHead(method: string, path: string, more: Partial<RequestHead> = {}): RequestHead {
  return {
    method,
    path,
    authority: "orders.shop",
    scheme: "http",
    absoluteForm: false,
    upgrade: undefined,
    expectContinue: false,
    headers: [],
    contentLength: 0,
    version: "1.1",
    ...more,
  };
}

export function responseHead(status: number, headers: HeaderList = [], contentLength?: number): ResponseHead {
  return { status, headers, contentLength, version: "1.1" };
}

export function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Ways to cut the same bytes into packets: `cuts` says how many bytes each packet takes. */
export function feed(connection: ConnectionInput, text: string, nextSize: () => number = () => text.length): void {
  const all = bytes(text);
  let at = 0;
  while (at < all.length) {
    const size = Math.max(1, nextSize());
    // A copy: a codec that keeps a view of a packet must not see the next one in it.
    connection.receive(Buffer.from(all.subarray(at, at + size)));
    at += size;
  }
}
