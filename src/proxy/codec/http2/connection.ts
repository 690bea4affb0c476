import type { Limits } from "../../limits.ts";
import type {
  ConnectionInput,
  ConnectionOutput,
  HeaderList,
  PeerProbe,
  StreamFault,
  StreamListener,
} from "../message.ts";
import { INITIAL_WINDOW_BYTES, LINGER_BYTES_MAX, Nuisance, STREAM_ID_MAX } from "./bounds.ts";
import { Closed, type ClosedHow } from "./closed-streams.ts";
import { ConnectionError, NO_ERROR, PROTOCOL_ERROR, resetCodeOf, SETTINGS_TIMEOUT } from "./error.ts";
import { FAULTS } from "./fault.ts";
import { FloodGuard } from "./flood-guard.ts";
import { ReceiveWindow, SendScheduler } from "./flow-control.ts";
import { CONTINUATION } from "./frame/continuation.ts";
import { DATA } from "./frame/data.ts";
import { ACK, type FrameView, has } from "./frame/frame.ts";
import { GOAWAY, readGoaway, writeGoaway } from "./frame/goaway.ts";
import { HEADERS } from "./frame/headers.ts";
import { ALIVE_PING, DRAIN_PING, PING, readPing, writePing } from "./frame/ping.ts";
import { PRIORITY } from "./frame/priority.ts";
import { PUSH_PROMISE, refusePushPromise } from "./frame/push-promise.ts";
import { RST_STREAM, writeRstStream } from "./frame/rst-stream.ts";
import { readSettings, SETTINGS, writeSettings, writeSettingsAck } from "./frame/settings.ts";
import { WINDOW_UPDATE, writeWindowUpdate } from "./frame/window-update.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { writeHeaders } from "./header-list.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { MessageState } from "./message-state.ts";
import { PeerSettings } from "./peer-settings.ts";
import { Phase } from "./phase.ts";
import { PREFACE, PrefaceReader } from "./preface.ts";
import { StreamReceiver } from "./receiver.ts";
import type { Head, Role } from "./role.ts";
import { changeSendWindows, updateSendWindow } from "./send-windows.ts";
import { Http2Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export interface Http2Options {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  /** Milliseconds, monotonic; read only to tell a flood from a steady drip. */
  readonly now?: () => number;
  /** The peer has proved to be a workload of the mesh: see `VERIFIED_NUISANCES`. */
  readonly peerIsVerified?: boolean;
}

/** One HTTP/2 connection (RFC 9113), client or server by its role. Bytes in, calls on listeners out, and back. */
export class Http2Connection<In extends Head, Out extends Head>
  implements Omit<ConnectionInput, "openStreams">, PeerProbe
{
  readonly role: Role<In, Out>;
  readonly limits: Limits;
  readonly #output: ConnectionOutput;
  readonly writer: FrameWriter;
  readonly encoder: HpackEncoder;
  readonly flood: FloodGuard;
  readonly scheduler: SendScheduler;
  readonly streams = new StreamTable<In, Out>();
  readonly window: ReceiveWindow;
  readonly #reader = new FrameReader((frame) => this.#frame(frame));
  readonly #receiver: StreamReceiver<In, Out>;

  #phase: Phase = Phase.Open;
  /** Frames gather while a chunk is being read, and go out when it has been. */
  #receiving = false;
  #readingPaused = false;
  /** What the client has yet to send of its preface. */
  readonly #preface: PrefaceReader | undefined;
  #settingsAckDue = true;
  #lingerBytes = 0;

  /** The highest stream that we have taken up: what our GOAWAY names. */
  lastProcessedId = 0;
  readonly peer = new PeerSettings();

  constructor({ output, limits, now, peerIsVerified }: Http2Options, role: Role<In, Out>) {
    this.role = role;
    this.limits = limits;
    this.#output = output;
    this.writer = new FrameWriter(output);
    this.encoder = new HpackEncoder(this.writer);
    this.flood = new FloodGuard(now, peerIsVerified);
    this.scheduler = new SendScheduler(this.writer, this.flood, limits.writeHighWaterBytes);
    const windowBytes = Math.max(limits.connectionWindowBytes, INITIAL_WINDOW_BYTES);
    this.window = new ReceiveWindow(windowBytes);
    this.#receiver = new StreamReceiver(this);
    if (role.isServer) this.#preface = new PrefaceReader();
    else this.writer.copy(PREFACE);
    writeSettings(this.writer, role.settings);
    if (windowBytes > INITIAL_WINDOW_BYTES) writeWindowUpdate(this.writer, 0, windowBytes - INITIAL_WINDOW_BYTES);
    this.writer.flush();
  }

  get isEnded(): boolean {
    return this.#phase === Phase.Ended;
  }

  /** True once a new stream of the peer's is ignored, and none of ours can be opened. */
  get refusesStreams(): boolean {
    return this.#phase >= Phase.Finishing;
  }

  receive(chunk: Uint8Array): void {
    if (this.#phase === Phase.Ended) {
      this.#linger(chunk.length);
      return;
    }
    this.#receiving = true;
    try {
      this.#reader.read(this.#preface?.take(chunk) ?? chunk);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fail(error);
    } finally {
      this.#receiving = false;
    }
    this.commit();
    // Only a server stops reading: were both sides to, each could wait for the other for ever.
    if (this.role.isServer && !this.#readingPaused && this.#output.queuedBytes > 2 * this.limits.writeHighWaterBytes) {
      this.#readingPaused = true;
      this.#output.pauseReading();
    }
  }

  receiveEnd(): void {
    if (this.#phase === Phase.Ended) return;
    this.#faultAll(FAULTS.connectionClosed);
    this.#output.end();
  }

  receiveClose(): void {
    if (this.#phase !== Phase.Ended) this.#faultAll(FAULTS.connectionClosed);
  }

  drained(): void {
    if (this.#phase === Phase.Ended) return;
    if (this.#readingPaused) {
      this.#readingPaused = false;
      this.#output.resumeReading();
    }
    this.scheduler.pump();
    this.commit();
  }

  /**
   * First step of a graceful end (RFC 9113 §6.8): tells the client to stop, and serves what it has sent before it
   * heard. The second step, `finishDrain`, comes with the answer to our PING, or with a second call.
   */
  drain(): void {
    if (this.#phase === Phase.Draining) this.finishDrain();
    if (this.#phase !== Phase.Open) return;
    this.#phase = Phase.Draining;
    writeGoaway(this.writer, STREAM_ID_MAX, NO_ERROR, "");
    writePing(this.writer, DRAIN_PING, 0, false);
    this.commit();
  }

  /** Takes no more streams; the connection ends with the last open one. */
  finishDrain(): void {
    if (this.#phase >= Phase.Finishing) return;
    this.#phase = Phase.Finishing;
    writeGoaway(this.writer, this.lastProcessedId, NO_ERROR, "");
    this.commit();
  }

  get settingsAcknowledged(): boolean {
    return !this.#settingsAckDue;
  }

  ping(): void {
    if (this.isEnded) return;
    writePing(this.writer, ALIVE_PING, 0, false);
    this.commit();
  }

  giveUp(waitedFor: "settings" | "ping"): void {
    if (this.isEnded) return;
    if (waitedFor === "settings") this.#fail(new ConnectionError(SETTINGS_TIMEOUT, "settings_ack_missing"));
    else this.#abandon(FAULTS.pingUnanswered);
  }

  /** Sends what has been staged, unless a chunk is being read, which ends with this call; ends what is finished. */
  commit(): void {
    if (this.#receiving || this.#phase === Phase.Ended) return;
    this.writer.flush();
    if (this.#phase !== Phase.Finishing || this.streams.size > 0) return;
    this.#phase = Phase.Ended;
    this.#reader.stop();
    this.#output.end();
  }

  // What streams and the receiver need.

  acceptStream(streamId: number, head: In): Http2Stream<In, Out> {
    const stream = this.newStream(streamId, (made) => this.role.accept(made, head));
    if (stream.isOver) return stream;
    this.streams.add(stream);
    // Whoever accepts a stream may as well have torn the connection down.
    if (this.isEnded) this.#faultStream(stream, FAULTS.connectionClosed);
    return stream;
  }

  newStream(streamId: number, attach: (stream: Http2Stream<In, Out>) => StreamListener<In>): Http2Stream<In, Out> {
    const bytes = this.limits.streamWindowBytes;
    // Until the peer has acknowledged our SETTINGS it may take the RFC's initial window for granted (§6.9.3).
    const granted = this.#settingsAckDue ? Math.max(bytes, INITIAL_WINDOW_BYTES) : bytes;
    return new Http2Stream(this, streamId, new ReceiveWindow(bytes, granted), this.peer.windowBytes, attach);
  }

  writeHead(stream: Http2Stream<In, Out>, head: Out, end: boolean): void {
    this.encoder.begin();
    this.role.writeHead(this.encoder, head, stream);
    this.encoder.end(stream.id, end);
    if (end) this.endSent(stream);
  }

  writeTrailers(stream: Http2Stream<In, Out>, trailers: HeaderList): void {
    this.writeFields(stream.id, trailers, true);
    this.endSent(stream);
  }

  writeFields(streamId: number, fields: HeaderList, end: boolean): void {
    this.encoder.begin();
    writeHeaders(this.encoder, fields);
    this.encoder.end(streamId, end);
  }

  endSent(stream: Http2Stream<In, Out>): void {
    stream.endSent = true;
    this.closeIfDone(stream);
    if (stream.resetWhenSent !== undefined && !stream.isOver) this.resetStream(stream, stream.resetWhenSent);
  }

  closeIfDone(stream: Http2Stream<In, Out>): void {
    if (stream.isOver || !stream.endSent || stream.received !== MessageState.Ended) return;
    this.dropStream(stream, Closed.Finished);
    this.flood.earn(Nuisance.Reset, 1);
    this.flood.earn(Nuisance.StreamError, 1);
    this.flood.earn(Nuisance.Control, 1);
    this.flood.earn(Nuisance.EmptyFrame, 1);
    this.flood.earn(Nuisance.LateFrame, 1);
  }

  dropStream(stream: Http2Stream<In, Out>, how: ClosedHow): void {
    stream.isOver = true;
    this.scheduler.forget(stream);
    this.streams.delete(stream);
    if (stream.id > 0) this.streams.closed.remember(stream.id, how);
  }

  /** Our own side gives a stream up. */
  resetStream(stream: Http2Stream<In, Out>, fault: StreamFault): void {
    if (stream.id > 0) writeRstStream(this.writer, stream.id, resetCodeOf(fault, this.role.isServer, stream.endSent));
    this.dropStream(stream, Closed.ResetByUs);
  }

  /** The peer broke the protocol on one stream (RFC 9113 §5.4.2). */
  failStream(stream: Http2Stream<In, Out>, code: number, fault: StreamFault): void {
    writeRstStream(this.writer, stream.id, code);
    this.dropStream(stream, Closed.ResetByUs);
    stream.listener.onFault(fault);
    this.flood.spend(Nuisance.StreamError);
  }

  creditConnection(): void {
    const increment = this.window.credit();
    if (increment > 0) writeWindowUpdate(this.writer, 0, increment);
  }

  creditStream(stream: Http2Stream<In, Out>): void {
    if (stream.paused || stream.isOver || stream.id === 0 || stream.received === MessageState.Ended) return;
    const increment = stream.window.credit();
    if (increment > 0) writeWindowUpdate(this.writer, stream.id, increment);
  }

  // Frames.

  #frame(frame: FrameView): void {
    const { type } = frame;
    if (!this.peer.areKnown && (type !== SETTINGS || has(frame, ACK))) {
      throw new ConnectionError(PROTOCOL_ERROR, "settings_missing");
    }
    const { openBlock } = this.#receiver;
    if (openBlock !== 0 && (type !== CONTINUATION || frame.streamId !== openBlock)) {
      throw new ConnectionError(PROTOCOL_ERROR, "field_block_interrupted");
    }
    switch (type) {
      case DATA:
        this.#receiver.data(frame);
        break;
      case HEADERS:
        this.#receiver.headers(frame);
        break;
      case PRIORITY:
        this.#receiver.priority(frame);
        break;
      case RST_STREAM:
        this.#receiver.rstStream(frame);
        break;
      case SETTINGS:
        this.#settings(frame);
        break;
      case PUSH_PROMISE:
        refusePushPromise();
        break;
      case PING:
        this.#ping(frame);
        break;
      case GOAWAY:
        this.#goaway(frame);
        break;
      case WINDOW_UPDATE:
        updateSendWindow(this, frame);
        break;
      case CONTINUATION:
        this.#receiver.continuation(frame);
        break;
      default:
        // RFC 9113 §4.1: unknown types are ignored, which is no reason to let them come by the million.
        this.flood.spend(Nuisance.Control);
    }
  }

  #settings(frame: FrameView): void {
    const settings = readSettings(frame);
    if (settings === "ack") {
      if (!this.#settingsAckDue) throw new ConnectionError(PROTOCOL_ERROR, "settings_ack_unasked");
      this.#settingsAckDue = false;
      return;
    }
    this.flood.spend(Nuisance.Control);
    const first = !this.peer.areKnown;
    const windowBytesBefore = this.peer.windowBytes;
    this.peer.apply(settings, !this.role.isServer, this.encoder);
    changeSendWindows(this, this.peer.windowBytes - windowBytesBefore);
    writeSettingsAck(this.writer);
    if (first) this.role.onPeerSettings();
    this.scheduler.pump();
  }

  #ping(frame: FrameView): void {
    readPing(frame);
    this.flood.spend(Nuisance.Control);
    if (!has(frame, ACK)) writePing(this.writer, frame.bytes, frame.start, true);
    else if (this.#phase === Phase.Draining && DRAIN_PING.equals(frame.bytes.subarray(frame.start, frame.end))) {
      this.finishDrain();
    }
  }

  #goaway(frame: FrameView): void {
    const { lastStreamId } = readGoaway(frame);
    this.flood.spend(Nuisance.Control);
    this.role.onGoaway(lastStreamId);
  }

  /** A client's end: no more streams, and the connection ends with the last open one. */
  finish(): void {
    if (this.#phase < Phase.Finishing) this.#phase = Phase.Finishing;
  }

  // The end.

  /** A connection error (RFC 9113 §5.4.1): says why, gives up all streams, and ends. */
  #fail(error: ConnectionError): void {
    writeGoaway(this.writer, this.lastProcessedId, error.code, error.detail);
    this.writer.flush();
    const fault: StreamFault = { kind: "protocol-error", detail: error.detail };
    if (this.streams.size === 0) this.role.onUnheardFault(fault);
    this.#faultAll(fault);
    this.#output.end();
  }

  #abandon(fault: StreamFault): void {
    this.#faultAll(fault);
    this.#output.destroy();
  }

  #faultAll(fault: StreamFault): void {
    this.#phase = Phase.Ended;
    this.#reader.stop();
    for (const stream of this.streams.all()) this.#faultStream(stream, fault);
  }

  #faultStream(stream: Http2Stream<In, Out>, fault: StreamFault): void {
    if (stream.isOver) return;
    this.dropStream(stream, Closed.ResetByUs);
    // What has sent nothing was certainly not processed.
    stream.listener.onFault(stream.id === 0 ? { kind: "refused", detail: fault.detail } : fault);
  }

  /** Ignores what still comes in behind the end, up to a bound. */
  #linger(bytes: number): void {
    this.#lingerBytes += bytes;
    if (this.#lingerBytes > LINGER_BYTES_MAX) this.#output.destroy();
  }
}
