import type { Limits } from "../../limits.ts";
import type {
  ConnectionOutput,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { FAULTS } from "./fault.ts";
import { announcesTrailers, type Framing, informationalText, responseHeadText } from "./head-writer.ts";
import { afterSending } from "./send-state.ts";
import { SendingStream } from "./sending-stream.ts";

/** What a stream needs of its connection. */
export interface ServerStreamOwner {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  /**
   * Asked once per exchange, when its response head is about to be written: will the connection end with it?
   * `mustClose`: the response leaves no other way.
   */
  closesAfter(mustClose: boolean): boolean;
  /** The final head is out; `switched`: the connection is a tunnel from here on. */
  headSent(stream: Http1ServerStream, switched: boolean): void;
  responseEnded(stream: Http1ServerStream): void;
  /** The stream is given up; `listener` hears of it only if the codec itself did it. */
  abandon(stream: Http1ServerStream, fault: StreamFault | undefined): void;
  setPaused(stream: Http1ServerStream, paused: boolean): void;
}

/** Our side of one request on an HTTP/1.1 connection: the response. Ignores every call once it is over. */
export class Http1ServerStream extends SendingStream implements ServerStream {
  /** Whom the request's events go to. Set by the connection, right after the stream was accepted. */
  listener: StreamListener<RequestHead> | undefined;
  /** The client was told to go on (100), or did not ask. */
  continued: boolean;
  /** A tunnel may come of it, or has: the request asked for one, and no response has declined yet. */
  mayTunnel: boolean;

  readonly #owner: ServerStreamOwner;
  readonly #request: RequestHead;
  /** An HTTP/1.0 client that asked to keep the connection must hear that it is kept. */
  readonly #saysKeepAlive: boolean;

  constructor(owner: ServerStreamOwner, request: RequestHead) {
    super(owner.output, owner.limits);
    this.#owner = owner;
    this.#request = request;
    this.#saysKeepAlive = request.version === "1.0";
    this.continued = !request.expectContinue;
    this.mayTunnel = request.upgrade !== undefined || request.method === "CONNECT";
  }

  /** True from the final head on. */
  get responding(): boolean {
    return this.state !== "head";
  }

  /** The client will notice when what it has of the response is not all of it. */
  get showsItsEnd(): boolean {
    return this.body.showsItsEnd;
  }

  sendInformational(head: ResponseHead): void {
    if (this.over) return;
    this.state = afterSending(this.state, "informational");
    if (head.status < 100 || head.status > 199 || head.status === 101) {
      throw new RangeError(`not an informational status: ${head.status}`);
    }
    if (head.status === 100) this.continued = true;
    // RFC 9110 §15.2: an HTTP/1.0 client knows no 1xx.
    if (this.#request.version !== "1.0") this.output.write(informationalText(head));
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.over) return;
    this.state = afterSending(this.state, end ? "head with end" : "head");
    const owner = this.#owner;
    const switched = this.#switches(head.status);
    const framing = switched ? "tunnel" : this.#framing(head, end);
    const announced = framing === "length" ? (head.contentLength ?? 0) : 0;
    if (end && announced > 0) {
      this.abandon(FAULTS.lengthMismatch);
      return;
    }
    this.mayTunnel = switched;
    const close = !switched && owner.closesAfter(framing === "until-close" || this.#declinesConnect(switched));
    this.body.begin(framing, announced);
    this.output.write(
      responseHeadText(head, {
        framing,
        contentLength: framing === "length" ? announced : bodilessLength(head, framing),
        close,
        keepAlive: this.#saysKeepAlive && !close && !switched,
        upgrade: head.status === 101 ? this.#request.upgrade : head.upgrade,
      }),
    );
    if (switched || !end) owner.headSent(this, switched);
    if (end) this.sent();
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.over) return true;
    this.state = afterSending(this.state, end ? "data with end" : "data");
    return this.write(chunk, end);
  }

  /** From here on, nothing is sent and nothing is heard. */
  detach(): StreamListener<RequestHead> | undefined {
    const listener = this.listener;
    this.over = true;
    this.listener = undefined;
    return listener;
  }

  protected override sent(): void {
    this.#owner.responseEnded(this);
  }

  protected override abandon(fault: StreamFault | undefined): void {
    this.#owner.abandon(this, fault);
  }

  protected override setPaused(paused: boolean): void {
    this.#owner.setPaused(this, paused);
  }

  protected override tellDrained(): void {
    this.listener?.onDrain();
  }

  #switches(status: number): boolean {
    if (status === 101) {
      if (this.#request.upgrade === undefined) throw new Error("101 without a request to upgrade");
      return true;
    }
    return this.#request.method === "CONNECT" && status >= 200 && status < 300;
  }

  /** What such a client sends next may well be meant for the tunnel that it did not get; it must not be a request. */
  #declinesConnect(switched: boolean): boolean {
    return this.#request.method === "CONNECT" && !switched;
  }

  /** RFC 9112 §6.3, seen from the sender. */
  #framing(head: ResponseHead, end: boolean): Framing {
    const { status } = head;
    if (this.#request.method === "HEAD" || status === 204 || status === 304) return "none";
    const { version } = this.#request;
    if (end || (head.contentLength !== undefined && (version === "1.0" || !announcesTrailers(head)))) return "length";
    return version === "1.1" ? "chunked" : "until-close";
  }
}

/** RFC 9110 §8.6: to HEAD and with 304 the length says what a GET would have brought; with 204 it may not be said. */
function bodilessLength(head: ResponseHead, framing: Framing): number | undefined {
  return framing === "none" && head.status !== 204 ? head.contentLength : undefined;
}
