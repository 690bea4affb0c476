import type { Chained } from "../../chained-table.ts";
import type { HeaderList, HttpStream, StreamFault, StreamListener } from "../message.ts";
import type { Http2Connection } from "./connection.ts";
import type { ReceiveWindow, SendingStream } from "./flow-control.ts";
import { MessageEvent, MessageState, nextMessageState } from "./message-state.ts";
import type { Head } from "./role.ts";

type Backlog = SendingStream["backlog"];

/**
 * One stream: its state, and our side of it as its owner sees it. Once it is over (reset, faulted, or done both ways)
 * calls on it do nothing, since the owner may not have heard of it yet.
 */
export class Http2Stream<In extends Head, Out extends Head>
  implements HttpStream<Out>, SendingStream, Chained<Http2Stream<In, Out>>
{
  readonly #connection: Http2Connection<In, Out>;
  readonly listener: StreamListener<In>;
  /** 0 until a client's head goes out: identifiers must rise in the order of heads (RFC 9113 §5.1.1). */
  id: number;
  /** Of `StreamTable`. */
  chained: Http2Stream<In, Out> | undefined;
  isOver = false;

  received: MessageState = MessageState.Head;
  /** 1xx responses that came in. */
  informationals = 0;
  sent: MessageState = MessageState.Head;
  /** END_STREAM has gone out; `sent` runs ahead of it while there is a backlog. */
  endSent = false;

  readonly window: ReceiveWindow;
  paused = false;
  /** Bytes that the peer's body must still have, where it announced a length. */
  bodyBytesLeft: number | undefined;

  sendWindow: number;
  backlog: Backlog;
  queued = false;
  waiting = false;
  #trailers: HeaderList | undefined;
  /** A server has given the rest of the request up, and still has to send what is queued of its response. */
  resetWhenSent: StreamFault | undefined;

  /** The request was HEAD: the response has no body. */
  isHead = false;
  /** The request was an extended CONNECT (RFC 8441). */
  isTunnel = false;

  /** `attach` is told of the stream and returns its listener. */
  constructor(
    connection: Http2Connection<In, Out>,
    id: number,
    window: ReceiveWindow,
    sendWindow: number,
    attach: (stream: Http2Stream<In, Out>) => StreamListener<In>,
  ) {
    this.#connection = connection;
    this.id = id;
    this.window = window;
    this.sendWindow = sendWindow;
    this.listener = attach(this);
  }

  get hash(): number {
    return this.id >>> 1;
  }

  sendInformational(head: Out): void {
    if (this.isOver || !this.#connection.role.isServer) return;
    this.#advance(MessageEvent.Informational);
    this.#connection.writeHead(this, head, false);
    this.#connection.commit();
  }

  sendHead(head: Out, end: boolean): void {
    if (this.isOver) return;
    this.#advance(end ? MessageEvent.HeadAndEnd : MessageEvent.Head);
    if (this.#connection.role.admit(this, head, end)) this.#connection.writeHead(this, head, end);
    this.#connection.commit();
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.isOver) return true;
    if (chunk.length === 0 && !end) return !this.waiting;
    this.#advance(end ? MessageEvent.DataAndEnd : MessageEvent.Data);
    const writable = this.#connection.scheduler.send(this, chunk, end);
    this.#connection.commit();
    return writable;
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.isOver) return;
    this.#advance(MessageEvent.Trailers);
    if (this.backlog === undefined && this.id > 0) this.#connection.writeTrailers(this, trailers);
    else this.#trailers = trailers;
    this.#connection.commit();
  }

  reset(fault: StreamFault): void {
    if (this.isOver) return;
    if (this.#connection.role.isServer && this.sent === MessageState.Ended && !this.endSent) this.resetWhenSent = fault;
    else this.#connection.resetStream(this, fault);
    this.#connection.commit();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#connection.creditStream(this);
    this.#connection.commit();
  }

  onEndSent(): void {
    this.#connection.endSent(this);
  }

  onBacklogSent(): boolean {
    if (this.#trailers === undefined) return true;
    this.#connection.writeTrailers(this, this.#trailers);
    return false;
  }

  onWritable(): void {
    if (!this.isOver) this.listener.onDrain();
  }

  /** Takes the next step of the message that we send; a step that must not be is our own bug. */
  #advance(event: MessageEvent): void {
    const next = nextMessageState(this.sent, event);
    if (next === undefined) throw new Error(`HTTP/2 stream ${this.id}: event ${event} in state ${this.sent}`);
    this.sent = next;
  }
}
