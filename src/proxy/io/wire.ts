/**
 * One socket, as a codec sees it: the `ConnectionOutput` that gathers its writes per turn, and the callbacks that feed
 * it. The only file of the data plane that writes to a socket.
 */

import type { Socket } from "bun";
import type { ConnectionInput, ConnectionOutput } from "../codec/message.ts";
import { crash, isBug, type OnBug } from "./bug.ts";
import { atEndOfTurn } from "./turn.ts";

/** Size of the gathering buffers: a turn's heads and small bodies of one connection; a TLS record holds 16 KiB. */
const GATHER_BYTES = 16 * 1024;
/** Chunks from this size on go to the kernel as they are; smaller ones are cheaper to copy than to write apart. */
const COPY_BYTES_MAX = 4 * 1024;
/** Gathering buffers kept for reuse, in all. */
const POOL_SIZE_MAX = 64;
/** After our half-close, a peer that does nothing and has nothing open is waited for this long. */
const LINGER_MS = 5_000;

const pool: Buffer[] = [];

export class Wire implements ConnectionOutput {
  #socket: Socket<unknown> | undefined;
  #input: ConnectionInput | undefined;
  /** Bytes gathered this turn. */
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
  /** What stands before the gathered bytes: large chunks, and what the kernel did not take. */
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #scheduled = false;
  /** The kernel took less than we had: wait for its drain. */
  #blocked = false;
  #ending = false;
  /** Our side is closed; the peer's side is. */
  #shutDown = false;
  #inputEnded = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  readonly onClosed: () => void;
  readonly #onBug: OnBug;

  /** Bytes since the start, for metrics. */
  bytesRead = 0;
  bytesWritten = 0;
  /** We do not read for now, so that nothing comes whatever the peer sends. */
  readingPaused = false;

  constructor(onClosed: () => void, onBug: OnBug = crash) {
    this.onClosed = onClosed;
    this.#onBug = onBug;
  }

  /** The socket is there (and, under TLS, trusted): from now on what comes in goes to `input`. */
  attach(socket: Socket<unknown>, input: ConnectionInput): void {
    this.#socket = socket;
    this.#input = input;
    if (this.#gatheredBytes > 0 || this.#queueBytes > 0) this.#schedule();
  }

  get closed(): boolean {
    return this.#socket === undefined;
  }

  /** `address:port` of our end; undefined once it is gone. */
  get localAddress(): string | undefined {
    const socket = this.#socket;
    return socket && `${socket.localAddress}:${socket.localPort}`;
  }

  get queuedBytes(): number {
    return this.#queueBytes + this.#gatheredBytes;
  }

  write(bytes: Uint8Array | string): void {
    if (this.#ending) return;
    const length = bytes.length;
    if (length === 0) return;
    if (typeof bytes !== "string" && length >= COPY_BYTES_MAX) {
      this.#closeGathered();
      this.#queue.push(bytes);
      this.#queueBytes += length;
    } else if (length > GATHER_BYTES) {
      this.#closeGathered();
      this.#queue.push(Buffer.from(bytes as string, "latin1"));
      this.#queueBytes += length;
    } else {
      if (this.#gatheredBytes + length > GATHER_BYTES) this.#closeGathered();
      this.#gathered ??= pool.pop() ?? Buffer.allocUnsafeSlow(GATHER_BYTES);
      if (typeof bytes === "string") this.#gathered.write(bytes, this.#gatheredBytes, "latin1");
      else this.#gathered.set(bytes, this.#gatheredBytes);
      this.#gatheredBytes += length;
    }
    this.#schedule();
  }

  writeCopy(bytes: Buffer, start: number, end: number): void {
    if (this.#ending) return;
    for (let at = start; at < end; ) {
      if (this.#gatheredBytes === GATHER_BYTES) this.#closeGathered();
      this.#gathered ??= pool.pop() ?? Buffer.allocUnsafeSlow(GATHER_BYTES);
      const copied = bytes.copy(this.#gathered, this.#gatheredBytes, at, end);
      this.#gatheredBytes += copied;
      at += copied;
    }
    this.#schedule();
  }

  pauseReading(): void {
    this.readingPaused = true;
    this.#socket?.pause();
  }

  resumeReading(): void {
    this.readingPaused = false;
    this.#socket?.resume();
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#schedule();
  }

  destroy(): void {
    this.#ending = true;
    const socket = this.#socket;
    // `terminate` reports `close` synchronously or later, and then `closed` below runs once.
    if (socket !== undefined) socket.terminate();
  }

  /** Flushes what the turn gathered. */
  endOfTurn(): void {
    this.#scheduled = false;
    try {
      this.#flush();
      // A socket that took all of it at once reports no drain, and a codec may wait for one: it saw the queue grow.
      if (this.#socket !== undefined && this.queuedBytes === 0) this.#input?.drained();
    } catch (error) {
      this.failed(error);
    }
  }

  /** The socket's `error` callback, which is also where the runtime puts what the other callbacks throw. */
  failed(error: unknown): void {
    if (isBug(error)) this.#onBug(error);
    this.destroy();
  }

  /** The socket's `data` callback. */
  received(chunk: Uint8Array): void {
    this.bytesRead += chunk.length;
    this.#input?.receive(chunk);
  }

  /** The socket's `end` callback: the peer half-closed. */
  receivedEnd(): void {
    // Ending our own side makes the runtime say it again.
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.#input?.receiveEnd();
    if (this.#shutDown) this.#socket?.end();
  }

  /** The socket's `drain` callback. */
  drainedSocket(): void {
    this.#blocked = false;
    this.#flush();
    if (!this.#blocked) this.#input?.drained();
  }

  /** The socket's `close` callback. `error`: the connection was reset. */
  closedSocket(error?: Error | undefined): void {
    if (this.#socket === undefined) return;
    this.#socket = undefined;
    this.#ending = true;
    clearTimeout(this.#lingerTimer);
    this.#release();
    this.#queue = [];
    this.#queueBytes = 0;
    // Where we had closed our side already, the runtime reports the peer's end as the close that it completes.
    if (error === undefined && this.#shutDown && !this.#inputEnded) this.#input?.receiveEnd();
    this.#input?.receiveClose();
    this.onClosed();
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#socket === undefined) return;
    this.#scheduled = true;
    atEndOfTurn(this);
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#blocked) return;
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0] as Uint8Array;
      const taken = socket.write(chunk);
      if (taken < 0) return;
      this.bytesWritten += taken;
      this.#queueBytes -= taken;
      if (taken < chunk.length) {
        this.#queue[0] = chunk.subarray(taken);
        this.#blocked = true;
        return;
      }
      this.#queue.shift();
    }
    if (this.#gathered !== undefined) {
      // By offset and length: a view of the buffer would cost more than all else that is done here.
      const taken = this.#gatheredBytes === 0 ? 0 : socket.write(this.#gathered, 0, this.#gatheredBytes);
      if (taken < 0) return;
      this.bytesWritten += taken;
      if (taken < this.#gatheredBytes) {
        this.#queue.push(this.#gathered.subarray(taken, this.#gatheredBytes));
        this.#queueBytes += this.#gatheredBytes - taken;
        this.#gathered = undefined;
        this.#gatheredBytes = 0;
        this.#blocked = true;
        return;
      }
      this.#release();
    }
    if (this.#ending && !this.#shutDown) this.#shutdown(socket);
  }

  /** Closes our side only: the peer may still be sending, and a full close would reset it (RFC 9112 §9.6). */
  #shutdown(socket: Socket<unknown>): void {
    this.#shutDown = true;
    if (this.#inputEnded) {
      socket.end();
      return;
    }
    socket.shutdown();
    this.#linger(this.bytesRead);
  }

  #linger(bytesRead: number): void {
    this.#lingerTimer = setTimeout(() => {
      if (this.bytesRead === bytesRead && (this.#input?.openStreams ?? 0) === 0) this.destroy();
      else this.#linger(this.bytesRead);
    }, LINGER_MS);
  }

  /** Moves the gathered bytes to the queue, so that a chunk can follow them by reference. */
  #closeGathered(): void {
    if (this.#gathered === undefined || this.#gatheredBytes === 0) return;
    this.#queue.push(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#queueBytes += this.#gatheredBytes;
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
  }

  #release(): void {
    if (this.#gathered !== undefined && pool.length < POOL_SIZE_MAX) pool.push(this.#gathered);
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
  }
}
