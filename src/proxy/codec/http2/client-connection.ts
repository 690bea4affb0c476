import type {
  ClientConnection,
  ClientStream,
  PeerProbe,
  RequestHead,
  ResponseHead,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { STREAM_ID_MAX } from "./bounds.ts";
import { Closed } from "./closed-streams.ts";
import { Http2Connection, type Http2Options } from "./connection.ts";
import { ConnectionError, NO_ERROR, PROTOCOL_ERROR } from "./error.ts";
import { FAULTS } from "./fault.ts";
import { writeGoaway } from "./frame/goaway.ts";
import { ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE } from "./frame/settings.ts";
import { writeRequestHead } from "./request-head.ts";
import { isBodiless, isInformational, readResponseHead } from "./response-head.ts";
import type { Role } from "./role.ts";
import type { Http2Stream } from "./stream.ts";

type RequestStream = Http2Stream<ResponseHead, RequestHead>;

/** A request for a switch of protocols that came before the peer's SETTINGS said whether it takes one. */
interface HeldHead {
  readonly stream: RequestStream;
  readonly head: RequestHead;
  readonly end: boolean;
}

/** An HTTP/2 connection on which requests go out. */
export class Http2ClientConnection implements ClientConnection {
  readonly #machine: Http2Connection<ResponseHead, RequestHead>;
  readonly #held: HeldHead[] = [];
  #nextId = 1;
  /** The highest stream that the peer's GOAWAY lets live. */
  #goawayId = STREAM_ID_MAX;

  constructor(options: Http2Options) {
    this.#machine = new Http2Connection(options, this.#role(options));
  }

  get probe(): PeerProbe {
    return this.#machine;
  }

  get openStreams(): number {
    return this.#machine.streams.size;
  }

  get capacity(): number {
    if (this.retired) return 0;
    const { peer, streams } = this.#machine;
    const idsLeft = (STREAM_ID_MAX - this.#nextId) / 2 + 1 - streams.unsent;
    return Math.max(0, Math.min(peer.concurrentStreamsMax - streams.size, idsLeft));
  }

  get retired(): boolean {
    return this.#machine.refusesStreams || this.#nextId > STREAM_ID_MAX;
  }

  /** Opens a stream; not when `capacity` is 0. It costs nothing on the wire until its head is sent. */
  open(listener: StreamListener<ResponseHead>): ClientStream {
    if (this.capacity < 1) throw new Error("HTTP/2 connection takes no more streams");
    const stream = this.#machine.newStream(0, () => listener);
    this.#machine.streams.add(stream);
    return stream;
  }

  receive(chunk: Uint8Array): void {
    this.#machine.receive(chunk);
  }

  receiveEnd(): void {
    this.#machine.receiveEnd();
  }

  receiveClose(): void {
    this.#machine.receiveClose();
  }

  drained(): void {
    this.#machine.drained();
  }

  drain(): void {
    if (this.retired) return;
    writeGoaway(this.#machine.writer, 0, NO_ERROR, "");
    this.#machine.finish();
    this.#machine.commit();
  }

  #role({ limits }: Http2Options): Role<ResponseHead, RequestHead> {
    return {
      isServer: false,
      settings: [
        [ENABLE_PUSH, 0],
        [INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
        [MAX_HEADER_LIST_SIZE, limits.headBytesMax],
      ],
      readHead: (fields, end, stream) => readResponseHead(fields, end, stream?.isHead === true),
      bodyBytes: (head, stream) => (isBodiless(head.status, stream.isHead) ? 0 : head.contentLength),
      isInformational: (head) => isInformational(head.status),
      accept: () => {
        throw new Error("a server cannot open streams");
      },
      writeHead: (encoder, head) => writeRequestHead(encoder, head),
      admit: (stream, head, end) => this.#admit(stream, head, end),
      refusal: () => undefined,
      onUnheardFault: () => {},
      onPeerSettings: () => this.#releaseHeld(),
      onGoaway: (lastStreamId) => this.#goaway(lastStreamId),
    };
  }

  /** Gives a stream its identifier, so that its head can go out. */
  #admit(stream: RequestStream, head: RequestHead, end: boolean): boolean {
    const machine = this.#machine;
    stream.isHead = head.method === "HEAD";
    stream.isTunnel = head.upgrade !== undefined;
    if (stream.isTunnel && !machine.peer.areKnown) {
      this.#held.push({ stream, head, end });
      return false;
    }
    if (stream.isTunnel && !machine.peer.takesExtendedConnect) {
      this.#refuse(stream, FAULTS.extendedConnect);
      return false;
    }
    machine.streams.assign(stream, this.#nextId);
    this.#nextId += 2;
    return true;
  }

  #releaseHeld(): void {
    const held = this.#held.splice(0);
    for (const { stream, head, end } of held) {
      if (stream.isOver || !this.#admit(stream, head, end)) continue;
      this.#machine.writeHead(stream, head, end);
      if (stream.backlog === undefined) stream.onBacklogSent();
      else this.#machine.scheduler.unblock(stream);
    }
  }

  #goaway(lastStreamId: number): void {
    // RFC 9113 §6.8: what has been refused stays refused.
    if (lastStreamId > this.#goawayId) throw new ConnectionError(PROTOCOL_ERROR, "goaway_id_rising");
    this.#goawayId = lastStreamId;
    this.#machine.finish();
    for (const stream of this.#machine.streams.all()) {
      if (stream.id > lastStreamId || stream.id === 0) this.#refuse(stream, FAULTS.goaway);
    }
  }

  /** Ends a stream that the peer has not processed, and will not. */
  #refuse(stream: RequestStream, fault: StreamFault): void {
    if (stream.isOver) return;
    this.#machine.dropStream(stream, Closed.ResetByUs);
    stream.listener.onFault(fault);
  }
}
