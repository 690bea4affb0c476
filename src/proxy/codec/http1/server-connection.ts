import type { Limits } from "../../limits.ts";
import type {
  AcceptStream,
  ConnectionOutput,
  RequestHead,
  ServerConnection,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { type BodyOwner, deliverBody } from "./body-delivery.ts";
import { BodyReader, BodyStep } from "./body-reader.ts";
import { FAULTS } from "./fault.ts";
import { FieldSection } from "./field-section.ts";
import { CR, LF } from "./grammar.ts";
import { parseRequestHead, tooLargeFault } from "./head-parser.ts";
import { HeadReader } from "./head-reader.ts";
import { refusalText } from "./head-writer.ts";
import type { InputBuffer } from "./input-buffer.ts";
import { InputPump, type PumpOwner } from "./input-pump.ts";
import type { ServerPhase } from "./server-phase.ts";
import { Http1ServerStream, type ServerStreamOwner } from "./server-stream.ts";

export interface Http1ServerOptions {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  readonly accept: AcceptStream;
  /** Scheme of requests whose target names none: `https` on a TLS connection. */
  readonly scheme: string;
  /** Writes the answer to a request that could not be read; by default a minimal one. The connection closes after it. */
  readonly refusal?: (fault: StreamFault) => string;
}

/** What a connection is doing, for whoever times it out. */
export type ServerActivity = "idle" | "head" | "stream" | "closing" | "closed";

const NO_DATA = new Uint8Array(0);

/**
 * The server side of an HTTP/1.1 connection (RFC 9112). Requests are taken one at a time: a pipelined one is not looked
 * at before the exchange ahead of it is over, and reading stops meanwhile. What cannot be read is answered with the
 * status of the fault, and the connection closed: once framing is in doubt, nothing after it can be trusted.
 *
 * Listeners are called from within `receive`, and from within `resume`, `sendHead`, `sendData` and `sendTrailers` when
 * those set bytes free that were waiting.
 */
export class Http1ServerConnection implements ServerConnection, ServerStreamOwner, PumpOwner, BodyOwner {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  readonly #accept: AcceptStream;
  readonly #refusal: (fault: StreamFault) => string;

  readonly #pump = new InputPump(this);
  readonly #input: InputBuffer = this.#pump.input;
  readonly #section: FieldSection;
  readonly #head: HeadReader<RequestHead>;
  readonly #body: BodyReader;

  #phase: ServerPhase = "head";
  #stream: Http1ServerStream | undefined;
  /** The connection outlives the exchange in hand (RFC 9112 §9.3). */
  #persistent = true;
  #draining = false;
  #inputEnded = false;
  /** The tunnel's end was passed on. */
  #tunnelInputEnded = false;
  #tunnelOutputEnded = false;
  #emptyLineSeen = false;
  /** Responses pile up in front of a client that only writes. */
  #blocked = false;
  #discardBytesLeft = 0;

  constructor(options: Http1ServerOptions) {
    this.output = options.output;
    const { limits, scheme } = options;
    this.limits = limits;
    this.#accept = options.accept;
    this.#refusal = options.refusal ?? ((fault) => refusalText(fault));
    this.#section = new FieldSection(limits);
    this.#head = new HeadReader(limits.headBytesMax, (text) => parseRequestHead(text, this.#section, limits, scheme));
    this.#body = new BodyReader(limits, this.#section);
  }

  get openStreams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  get activity(): ServerActivity {
    if (this.#phase === "closing" || this.#phase === "closed") return this.#phase;
    if (this.#phase !== "head") return "stream";
    return this.#input.length === 0 ? "idle" : "head";
  }

  receive(chunk: Uint8Array): void {
    if (this.#phase !== "closed" && !this.#pump.receive(chunk)) this.#fail(FAULTS.inputOverflow);
  }

  receiveEnd(): void {
    this.#inputEnded = true;
    this.#pump.run();
  }

  receiveClose(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#input.clear();
    this.#detach()?.onFault(FAULTS.connectionClosed);
  }

  drained(): void {
    this.#stream?.drained();
    if (this.#blocked) this.#pump.run();
  }

  drain(): void {
    this.#draining = true;
    if (this.#phase === "head" && this.#input.length === 0) this.#close();
  }

  giveUpHead(): boolean {
    if (this.activity !== "head") return false;
    this.#refuse(FAULTS.headTimeout);
    return true;
  }

  // What streams ask for

  closesAfter(mustClose: boolean): boolean {
    // Maybe more than would be thrown away: were the client to reuse the connection, its next request would meet our close.
    const bodyTooLong = this.#phase === "body" && this.#body.bytesLeft > this.limits.streamWindowBytes;
    const bodyUnasked = this.#phase === "body" && this.#stream?.continued === false;
    // Bytes that came after a request to switch protocols may not be HTTP at all.
    const optimistic = this.#phase === "switch" && this.#input.length > 0;
    if (mustClose || this.#draining || bodyTooLong || bodyUnasked || optimistic) this.#persistent = false;
    return !this.#persistent;
  }

  headSent(stream: Http1ServerStream, switched: boolean): void {
    if (switched) {
      this.#persistent = false;
      if (this.#phase === "switch") this.#enterTunnel();
    } else if (this.#phase === "switch") {
      this.#phase = "response";
      stream.listener?.onData(NO_DATA, true);
    }
    this.#pump.run();
  }

  responseEnded(stream: Http1ServerStream): void {
    if (stream !== this.#stream) return;
    if (this.#phase === "tunnel") {
      this.#tunnelOutputEnded = true;
      this.output.end();
      if (this.#tunnelInputEnded) this.#closed();
    } else if (this.#phase === "body" && this.#persistent) {
      this.#detach();
      this.#phase = "discard";
      this.#discardBytesLeft = this.limits.streamWindowBytes;
    } else this.#exchangeEnded();
    this.#pump.run();
  }

  abandon(stream: Http1ServerStream, fault: StreamFault | undefined): void {
    if (stream !== this.#stream) return;
    // HTTP/1.1 knows no other way to take back a message than to end its connection (RFC 9112 §8). What is good of the
    // response still goes out, unless the end that follows could be taken for its own.
    const listener = this.#detach();
    if (stream.showsItsEnd) this.#close();
    else {
      this.#closed();
      this.output.destroy();
    }
    if (fault !== undefined) listener?.onFault(fault);
  }

  setPaused(stream: Http1ServerStream, paused: boolean): void {
    if (stream === this.#stream) this.#pump.setPaused(paused);
  }

  // The way in

  advance(): boolean {
    switch (this.#phase) {
      case "head":
        return this.#readHead();
      case "body":
      case "tunnel":
        return !this.#pump.paused && this.#readBody();
      case "discard":
        return this.#discardBody();
      case "closing":
        return this.#discardInput();
      case "closed":
        this.#input.clear();
        return false;
      case "switch":
      case "response":
        return false;
    }
  }

  #readHead(): boolean {
    const input = this.#input;
    this.#blocked = input.length > 0 && this.output.queuedBytes > this.limits.writeHighWaterBytes;
    if (this.#blocked) return false;
    this.#skipEmptyLine();
    if (input.length === 0) return false;

    const head = this.#head.read(input);
    if (head === undefined) return false;
    if ("kind" in head) {
      this.#refuse(head === FAULTS.headTooLarge ? tooLargeFault(input, this.limits) : head);
      return false;
    }
    this.#emptyLineSeen = false;
    this.#begin(head);
    return true;
  }

  /** RFC 9112 §2.2: one empty line before a request is forgiven, for the sake of old clients' bodies. */
  #skipEmptyLine(): void {
    const { bytes, start } = this.#input;
    if (this.#emptyLineSeen || this.#input.length < 2 || bytes[start] !== CR || bytes[start + 1] !== LF) return;
    this.#emptyLineSeen = true;
    this.#input.skip(2);
    this.#head.restart();
  }

  #begin(head: RequestHead): void {
    const section = this.#section;
    this.#persistent = !section.close && (head.version === "1.1" || section.keepAlive);
    const stream = new Http1ServerStream(this, head);
    if (section.chunked) {
      this.#body.beginChunked();
      this.#phase = "body";
    } else if (head.contentLength !== 0 && head.contentLength !== undefined) {
      this.#body.beginLength(head.contentLength);
      this.#phase = "body";
    } else this.#phase = stream.mayTunnel ? "switch" : "response";

    const end = this.#phase === "response";
    this.#stream = stream;
    const listener = this.#accept(stream);
    // Whoever accepts may have given the stream up already.
    if (this.#stream !== stream) return;
    stream.listener = listener;
    listener.onHead(head, end);
  }

  #readBody(): boolean {
    const stream = this.#stream;
    // A tunnel may follow a request that asked for one, so its own end is no end yet.
    return deliverBody(this.#body, this.#input, this, stream?.listener, stream?.mayTunnel !== true);
  }

  bodyEnded(): void {
    const stream = this.#stream;
    if (stream?.mayTunnel !== true) this.#phase = "response";
    else if (stream.responding) this.#enterTunnel();
    else this.#phase = "switch";
  }

  #enterTunnel(): void {
    this.#phase = "tunnel";
    this.#body.beginUntilClose();
  }

  bodyFailed(fault: StreamFault): void {
    this.#fail(fault);
  }

  #discardBody(): boolean {
    const step = this.#body.step(this.#input);
    if (step === BodyStep.needMore) return false;
    if (step === BodyStep.data || step === BodyStep.lastData) this.#discardBytesLeft -= this.#body.data.byteLength;
    if (step === BodyStep.fault || this.#discardBytesLeft < 0) this.#close();
    else if (step !== BodyStep.data) this.#exchangeEnded();
    return true;
  }

  /**
   * Reads on for a while after our last word: to close on a client that still sends makes its kernel throw away the
   * response before the client has read it (RFC 9112 §9.6). After that we stop reading: a client that goes on sending
   * comes to a halt and reads what it was told, and whoever owns the socket gives it up when nothing moves any more.
   */
  #discardInput(): boolean {
    this.#discardBytesLeft -= this.#input.length;
    this.#input.clear();
    return false;
  }

  /** Once the peer will send no more: all that it sent has been looked at. */
  advanced(): void {
    if (!this.#inputEnded) return;
    switch (this.#phase) {
      case "head":
      case "discard":
        this.#close();
        return;
      case "body":
        if (!this.#pump.paused || this.#input.length === 0) this.#failGone(FAULTS.requestTruncated);
        return;
      case "switch":
      case "response":
        // A client that ends its side while it waits has gone, as far as anyone can tell: do no more work for it.
        this.#failGone(FAULTS.connectionClosed);
        return;
      case "tunnel":
        if (this.#tunnelInputEnded || this.#pump.paused) return;
        this.#tunnelInputEnded = true;
        this.#endTunnelInput();
        return;
      case "closing":
      case "closed":
        return;
    }
  }

  #endTunnelInput(): void {
    const listener = this.#stream?.listener;
    if (this.#tunnelOutputEnded) this.#closed();
    listener?.onData(NO_DATA, true);
  }

  // Ends

  /** Both messages are over. */
  #exchangeEnded(): void {
    this.#detach();
    if (this.#persistent && !this.#draining) this.#phase = "head";
    else this.#close();
  }

  /** The peer broke the protocol within a stream: it is answered, if nothing else was. */
  #fail(fault: StreamFault): void {
    const stream = this.#stream;
    if (stream === undefined || stream.responding) {
      this.#failGone(fault);
      return;
    }
    const listener = this.#detach();
    this.#refuse(fault);
    listener?.onFault(fault);
  }

  #failGone(fault: StreamFault): void {
    const listener = this.#detach();
    this.#closed();
    this.output.destroy();
    listener?.onFault(fault);
  }

  #refuse(fault: StreamFault): void {
    this.output.write(this.#refusal(fault));
    this.#close();
  }

  #close(): void {
    this.#detach();
    this.#phase = "closing";
    this.#discardBytesLeft = this.limits.streamWindowBytes;
    this.#input.clear();
    this.output.end();
  }

  #closed(): void {
    this.#detach();
    this.#phase = "closed";
    this.#input.clear();
  }

  #detach(): StreamListener<RequestHead> | undefined {
    const listener = this.#stream?.detach();
    this.#stream = undefined;
    this.#pump.forgetPause();
    return listener;
  }

  get isClosed(): boolean {
    return this.#phase === "closed";
  }

  get wantsPause(): boolean {
    switch (this.#phase) {
      case "body":
      case "tunnel":
        return this.#pump.paused;
      case "switch":
      case "response":
        return this.#input.length > 0;
      case "head":
        return this.#blocked;
      case "closing":
        return this.#discardBytesLeft < 0;
      default:
        return false;
    }
  }
}
