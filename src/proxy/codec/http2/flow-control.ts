/**
 * Flow control (RFC 9113 §5.2): what the peer may still send to us, and in which order and measure we send to it.
 *
 * The connection's window is credited as soon as a piece has been handed to its listener; a stream's window only while
 * its listener is not paused. So a stream that nobody reads holds at most its own window, and never its neighbours.
 */

import { FRAME_BYTES_MAX, INITIAL_WINDOW_BYTES, Nuisance, WINDOW_UPDATES_PER_DATA_FRAME } from "./bounds.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { writeData } from "./frame/data.ts";
import type { FrameWriter } from "./frame-writer.ts";

/** What the peer may send to us, on one stream or on the connection. */
export class ReceiveWindow {
  readonly #bytesMax: number;
  /** Bytes that the peer may send before we grant more. */
  #available: number;
  /** Bytes taken in and not yet granted again. */
  #owed = 0;

  /** `granted`: where the peer may not know of `bytesMax` yet, what it rightly believes. */
  constructor(bytesMax: number, granted: number = bytesMax) {
    this.#bytesMax = bytesMax;
    this.#available = granted;
  }

  /** Counts what came in; false when the peer had no right to send it. */
  take(bytes: number): boolean {
    this.#available -= bytes;
    this.#owed += bytes;
    return this.#available >= 0;
  }

  /** The increment to grant now; 0 while it is not worth a frame, which is until half of the window is used. */
  credit(): number {
    const owed = this.#owed;
    if (owed * 2 < this.#bytesMax) return 0;
    this.#available += owed;
    this.#owed = 0;
    return owed;
  }
}

const NOTHING = new Uint8Array(0);

/** What a stream could not send at once. */
class Backlog {
  readonly chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that have gone out. */
  offset = 0;
  end = false;

  get isEmpty(): boolean {
    return this.chunks.length === 0;
  }
}

/** What the scheduler keeps on each stream, and what it tells it. */
export interface SendingStream {
  /** 0 before the head has gone out: then nothing may. */
  readonly id: number;
  /** Bytes that the peer lets us send; SETTINGS can make it negative (RFC 9113 §6.9.2). */
  sendWindow: number;
  backlog: Backlog | undefined;
  /** Stands in the queue of those that can send. */
  queued: boolean;
  /** Was told to wait. */
  waiting: boolean;
  /** END_STREAM has gone out with the last piece. */
  onEndSent(): void;
  /** The backlog has gone out. Sends what waited behind it; true when the stream's owner should go on. */
  onBacklogSent(): boolean;
  onWritable(): void;
}

/**
 * Sends bodies: at once where the windows and the socket let it, else one frame at a time in turn, so that a large
 * body does not hold up small ones.
 */
export class SendScheduler {
  readonly #writer: FrameWriter;
  readonly #flood: FloodGuard;
  readonly #queuedBytesMax: number;
  /** Streams with a backlog and an open window, in turn. */
  readonly #ready: SendingStream[] = [];
  /** Streams that wait for nothing but room in the socket. */
  readonly #waiting = new Set<SendingStream>();
  /** What the peer lets us send on the connection. */
  window = INITIAL_WINDOW_BYTES;

  /** `queuedBytesMax`: bytes towards the peer above which bodies wait. */
  constructor(writer: FrameWriter, flood: FloodGuard, queuedBytesMax: number) {
    this.#writer = writer;
    this.#flood = flood;
    this.#queuedBytesMax = queuedBytesMax;
  }

  get #hasRoom(): boolean {
    return this.#writer.queuedBytes < this.#queuedBytesMax;
  }

  /** Sends or keeps a piece. False: the stream's owner should wait for `onWritable`. */
  send(stream: SendingStream, chunk: Uint8Array, end: boolean): boolean {
    const sent = stream.backlog === undefined ? this.#sendNow(stream, chunk, end) : 0;
    if (sent < chunk.length || stream.backlog !== undefined || stream.id === 0) {
      this.#keep(stream, sent === 0 ? chunk : chunk.subarray(sent), end);
      this.pump();
    } else if (chunk.length === 0 && end) {
      // An empty frame needs no window.
      writeData(this.#writer, stream.id, chunk, 0, 0, true);
      stream.onEndSent();
    }
    if (stream.backlog === undefined && this.#hasRoom) return true;
    if (!end && !stream.waiting) this.#wait(stream);
    return false;
  }

  /** The stream's window has grown, or its head has gone out. */
  unblock(stream: SendingStream): void {
    if (stream.backlog !== undefined) this.#enqueue(stream);
  }

  /** The stream is over: drops what it had not sent. */
  forget(stream: SendingStream): void {
    stream.backlog = undefined;
    if (!stream.waiting) return;
    stream.waiting = false;
    this.#waiting.delete(stream);
  }

  /** Sends what windows and room allow, in turn. Call it when either has grown. */
  pump(): void {
    while (this.window > 0 && this.#hasRoom) {
      const stream = this.#ready.shift();
      if (stream === undefined) break;
      stream.queued = false;
      if (stream.backlog !== undefined) this.#sendTurn(stream, stream.backlog);
    }
    if (this.#waiting.size > 0 && this.#hasRoom) this.#wakeWaiting();
  }

  #sendNow(stream: SendingStream, chunk: Uint8Array, end: boolean): number {
    let at = 0;
    while (at < chunk.length && this.#hasRoom && stream.id > 0) {
      const sent = this.#sendFrame(stream, chunk, at, end);
      if (sent === 0) break;
      at += sent;
    }
    if (end && at > 0 && at === chunk.length) stream.onEndSent();
    return at;
  }

  /** Sends one frame from `chunk[at]` on; returns its length, 0 when a window is closed. */
  #sendFrame(stream: SendingStream, chunk: Uint8Array, at: number, end: boolean): number {
    const length = Math.min(chunk.length - at, stream.sendWindow, this.window, FRAME_BYTES_MAX);
    if (length <= 0) return 0;
    stream.sendWindow -= length;
    this.window -= length;
    writeData(this.#writer, stream.id, chunk, at, at + length, end && at + length === chunk.length);
    this.#flood.earn(Nuisance.WindowUpdate, WINDOW_UPDATES_PER_DATA_FRAME);
    // gRPC measures the path's bandwidth by a PING per burst of data.
    this.#flood.earn(Nuisance.Control, 1);
    return length;
  }

  #keep(stream: SendingStream, chunk: Uint8Array, end: boolean): void {
    stream.backlog ??= new Backlog();
    if (chunk.length > 0) stream.backlog.chunks.push(chunk);
    stream.backlog.end ||= end;
    this.#enqueue(stream);
  }

  #enqueue(stream: SendingStream): void {
    if (stream.queued || stream.id === 0 || stream.sendWindow <= 0) return;
    stream.queued = true;
    this.#ready.push(stream);
  }

  /** One stream's turn: one frame, then back to the end of the queue. */
  #sendTurn(stream: SendingStream, backlog: Backlog): void {
    const chunk = backlog.chunks[0];
    if (chunk !== undefined) {
      const last = backlog.end && backlog.chunks.length === 1;
      backlog.offset += this.#sendFrame(stream, chunk, backlog.offset, last);
      if (backlog.offset === chunk.length) {
        backlog.chunks.shift();
        backlog.offset = 0;
      }
    } else if (backlog.end) writeData(this.#writer, stream.id, NOTHING, 0, 0, true);
    if (!backlog.isEmpty) {
      this.#enqueue(stream);
      return;
    }
    stream.backlog = undefined;
    if (backlog.end) stream.onEndSent();
    else if (stream.onBacklogSent() && stream.waiting) this.#waiting.add(stream);
  }

  #wait(stream: SendingStream): void {
    stream.waiting = true;
    if (stream.backlog === undefined) this.#waiting.add(stream);
  }

  #wakeWaiting(): void {
    const streams = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of streams) {
      if (!stream.waiting) continue;
      stream.waiting = false;
      stream.onWritable();
    }
  }
}
