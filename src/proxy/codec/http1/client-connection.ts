import type { Limits } from "../../limits.ts";
import type {
  ClientConnection,
  ClientStream,
  ConnectionOutput,
  ResponseHead,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { type BodyOwner, deliverBody, deliverStep } from "./body-delivery.ts";
import { BodyReader, BodyStep } from "./body-reader.ts";
import { type ClientStreamOwner, Http1ClientStream } from "./client-stream.ts";
import { FAULTS } from "./fault.ts";
import { FieldSection } from "./field-section.ts";
import { parseResponseHead } from "./head-parser.ts";
import { HeadReader } from "./head-reader.ts";
import type { InputBuffer } from "./input-buffer.ts";
import { InputPump, type PumpOwner } from "./input-pump.ts";
import { withoutLength } from "./without-length.ts";

export interface Http1ClientOptions {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
}

/** What the next bytes of the peer are. */
type Phase =
  /** Nothing: no request is outstanding. */
  | "idle"
  /** A response head, informational or final. */
  | "head"
  | "body"
  /** Nothing: the response is over, the request is still being sent. */
  | "request"
  /** Bytes of another protocol. */
  | "tunnel"
  | "closed";

/** 1xx in front of one response. RFC 9110 §15.2 sets no bound; without one, a server could keep a request for ever. */
const INFORMATIONAL_MAX = 16;

const NO_DATA = new Uint8Array(0);

/**
 * The client side of an HTTP/1.1 connection (RFC 9112): one exchange at a time, never pipelined, since a pipelined
 * request shares the fate of the one before it.
 *
 * State is settled before a listener hears of an end: from within `onData(…, true)` the connection can be opened again.
 */
export class Http1ClientConnection implements ClientConnection, ClientStreamOwner, PumpOwner, BodyOwner {
  readonly output: ConnectionOutput;
  readonly limits: Limits;

  readonly #pump = new InputPump(this);
  readonly #input: InputBuffer = this.#pump.input;
  readonly #section: FieldSection;
  readonly #head: HeadReader<ResponseHead>;
  readonly #body: BodyReader;

  #phase: Phase = "idle";
  #stream: Http1ClientStream | undefined;
  /** The server will keep the connection after the exchange in hand (RFC 9112 §9.3). */
  #persistent = true;
  #draining = false;
  /** An exchange was completed here: the server may have closed the connection before it saw the next request. */
  #reused = false;
  #inputEnded = false;
  #tunnelInputEnded = false;
  #tunnelOutputEnded = false;
  #informational = 0;
  /** The socket is gone, but the listener has paused before it has heard all that arrived. */
  #socketClosed = false;

  constructor(options: Http1ClientOptions) {
    this.output = options.output;
    const { limits } = options;
    this.limits = limits;
    this.#section = new FieldSection(limits);
    this.#head = new HeadReader(limits.headBytesMax, (text) => parseResponseHead(text, this.#section));
    this.#body = new BodyReader(limits, this.#section);
  }

  get capacity(): number {
    return this.#phase === "idle" && this.#stream === undefined && !this.retired ? 1 : 0;
  }

  get openStreams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  get retired(): boolean {
    return this.#phase === "closed" || this.#draining || !this.#persistent || this.#inputEnded;
  }

  open(listener: StreamListener<ResponseHead>): ClientStream {
    if (this.capacity === 0) throw new Error("no stream can be opened: the connection is in use or retired");
    const stream = new Http1ClientStream(this, listener);
    this.#stream = stream;
    this.#phase = "head";
    this.#informational = 0;
    return stream;
  }

  receive(chunk: Uint8Array): void {
    if (this.#phase !== "closed" && !this.#pump.receive(chunk)) this.#fail(FAULTS.inputOverflow);
  }

  receiveEnd(): void {
    this.#inputEnded = true;
    this.#pump.run();
  }

  receiveClose(): void {
    this.#socketClosed = true;
    // What has arrived is still good: a slow listener gets it when it resumes.
    if (this.#pump.paused && this.#input.length > 0) return;
    this.#atSocketClose();
  }

  drained(): void {
    this.#stream?.drained();
  }

  drain(): void {
    this.#draining = true;
    if (this.#phase === "idle") this.#close();
  }

  // What streams ask for

  requestEnded(stream: Http1ClientStream): void {
    if (stream !== this.#stream) return;
    if (this.#phase === "tunnel") {
      this.#tunnelOutputEnded = true;
      if (this.#tunnelInputEnded) this.#close();
      else this.output.end();
    } else if (this.#phase === "request") this.#exchangeEnded();
  }

  abandon(stream: Http1ClientStream, fault: StreamFault | undefined): void {
    if (stream !== this.#stream) return;
    // Nothing has been sent: the connection is as good as before.
    const untouched = stream.request === undefined && this.#input.length === 0 && !this.retired;
    this.#detach();
    if (untouched) this.#phase = "idle";
    else {
      this.#closed();
      this.output.destroy();
    }
    if (fault !== undefined) stream.listener.onFault(fault);
  }

  setPaused(stream: Http1ClientStream, paused: boolean): void {
    if (stream === this.#stream) this.#pump.setPaused(paused);
  }

  // The way in

  advanced(): void {
    if (this.#inputEnded) this.#atInputEnd();
    if (this.#socketClosed && !this.#pump.paused) this.#atSocketClose();
  }

  advance(): boolean {
    switch (this.#phase) {
      case "idle":
      case "request":
        if (this.#input.length > 0) this.#fail(FAULTS.unsolicitedResponse);
        return false;
      case "head":
        return this.#input.length > 0 && this.#readHead();
      case "body":
      case "tunnel":
        return !this.#pump.paused && deliverBody(this.#body, this.#input, this, this.#stream?.listener, true);
      case "closed":
        this.#input.clear();
        return false;
    }
  }

  #readHead(): boolean {
    const stream = this.#stream;
    if (stream?.request === undefined) {
      this.#fail(FAULTS.unsolicitedResponse);
      return false;
    }
    const head = this.#head.read(this.#input);
    if (head === undefined) return false;
    if ("kind" in head) {
      this.#fail(head);
      return false;
    }
    if (head.status === 101) this.#switchProtocols(stream, head);
    else if (head.status < 200) this.#informationalHead(stream, head);
    else this.#finalHead(stream, head);
    return true;
  }

  #informationalHead(stream: Http1ClientStream, head: ResponseHead): void {
    if (++this.#informational > INFORMATIONAL_MAX) {
      this.#fail(FAULTS.tooManyInformational);
      return;
    }
    withoutLength(head);
    stream.listener.onInformational(head);
  }

  #switchProtocols(stream: Http1ClientStream, head: ResponseHead): void {
    const asked = stream.request?.upgrade;
    if (asked === undefined || this.#section.upgrade !== asked) {
      this.#fail(FAULTS.unaskedSwitch);
      return;
    }
    this.#enterTunnel(stream, head);
  }

  #enterTunnel(stream: Http1ClientStream, head: ResponseHead): void {
    withoutLength(head);
    this.#persistent = false;
    this.#phase = "tunnel";
    this.#body.beginUntilClose();
    stream.openTunnel();
    if (stream.requestDone) this.requestEnded(stream);
    stream.listener.onHead(head, false);
  }

  /** RFC 9112 §6.3: the request decides as much about the response's body as the response does. */
  #finalHead(stream: Http1ClientStream, head: ResponseHead): void {
    const section = this.#section;
    const method = stream.request?.method;
    if (method === "CONNECT" && head.status < 300) {
      this.#enterTunnel(stream, head);
      return;
    }
    this.#persistent = !section.close && (head.version === "1.1" || section.keepAlive);
    stream.declineTunnel();
    if (head.status === 426) head.upgrade = section.offers;
    this.#phase = "body";
    if (head.status === 204) withoutLength(head);
    if (method === "HEAD" || head.status === 204 || head.status === 304 || head.contentLength === 0) {
      if (section.chunked) head.contentLength = undefined;
      this.bodyEnded();
      stream.listener.onHead(head, true);
      return;
    }
    if (section.chunked) {
      this.#beginChunks(stream, head);
      return;
    }
    if (head.contentLength !== undefined) this.#body.beginLength(head.contentLength);
    else {
      this.#body.beginUntilClose();
      this.#persistent = false;
    }
    stream.listener.onHead(head, false);
  }

  /**
   * Looks at what came along with the head before it passes the head on: where not even that can be read, nobody has
   * been told of a response yet, and there can still be a better answer than half of one.
   */
  #beginChunks(stream: Http1ClientStream, head: ResponseHead): void {
    this.#body.beginChunked();
    const step = this.#body.step(this.#input);
    if (step === BodyStep.fault) {
      this.#fail(this.#body.fault ?? FAULTS.chunkSize);
      return;
    }
    stream.listener.onHead(head, false);
    if (this.#stream === stream) deliverStep(step, this.#body, this, stream.listener, true);
  }

  /** The peer will send no more, and all that it sent has been looked at, unless the listener paused. */
  #atInputEnd(): void {
    switch (this.#phase) {
      case "idle":
        this.#close();
        return;
      case "request":
        this.#detach();
        this.#closed();
        this.output.destroy();
        return;
      case "head":
        this.#fail(this.#goneBeforeResponse());
        return;
      case "body":
        if (this.#pump.paused) return;
        if (this.#body.endsWithConnection) this.#closeDelimitedEnd();
        else this.#fail(FAULTS.responseTruncated);
        return;
      case "tunnel":
        if (this.#pump.paused || this.#tunnelInputEnded) return;
        this.#tunnelInputEnded = true;
        this.#endTunnelInput();
        return;
      case "closed":
        return;
    }
  }

  #closeDelimitedEnd(): void {
    const listener = this.#stream?.listener;
    this.bodyEnded();
    listener?.onData(NO_DATA, true);
  }

  #endTunnelInput(): void {
    const listener = this.#stream?.listener;
    if (this.#tunnelOutputEnded) {
      this.#detach();
      this.#closed();
    }
    listener?.onData(NO_DATA, true);
  }

  #atSocketClose(): void {
    if (this.#phase === "closed") return;
    const stream = this.#stream;
    const fault = this.#phase === "head" ? this.#goneBeforeResponse() : FAULTS.connectionClosed;
    const responseOver = this.#phase === "request";
    this.#detach();
    this.#closed();
    // After a whole response there is nothing left to tell.
    if (!responseOver) stream?.listener.onFault(fault);
  }

  /** Names how much of the exchange can have happened: on that hangs whether it may be tried again. */
  #goneBeforeResponse(): StreamFault {
    if (this.#stream?.request === undefined) return FAULTS.closedBeforeRequest;
    if (this.#input.length > 0 || this.#informational > 0) return FAULTS.responseTruncated;
    return this.#reused ? FAULTS.reusedConnectionClosed : FAULTS.closedBeforeResponse;
  }

  // Ends

  bodyEnded(): void {
    if (this.#stream?.requestDone === true) this.#exchangeEnded();
    else if (this.#persistent) this.#phase = "request";
    else {
      // The server will read no more of the request.
      this.#detach();
      this.#closed();
      this.output.destroy();
    }
  }

  /** Both messages are over. */
  #exchangeEnded(): void {
    this.#detach();
    this.#reused = true;
    this.#phase = "idle";
    if (this.retired) this.#close();
  }

  bodyFailed(fault: StreamFault): void {
    this.#fail(fault);
  }

  #fail(fault: StreamFault): void {
    const stream = this.#stream;
    const responseOver = this.#phase === "request";
    this.#detach();
    this.#closed();
    this.output.destroy();
    if (!responseOver) stream?.listener.onFault(fault);
  }

  #close(): void {
    this.#detach();
    this.#closed();
    this.output.end();
  }

  #closed(): void {
    this.#phase = "closed";
    this.#input.clear();
  }

  #detach(): void {
    this.#stream?.detach();
    this.#stream = undefined;
    this.#pump.forgetPause();
  }

  get isClosed(): boolean {
    return this.#phase === "closed";
  }

  get wantsPause(): boolean {
    return this.#pump.paused && (this.#phase === "body" || this.#phase === "tunnel");
  }
}
