import type { Socket } from "bun";
import type { ConnectionOutput } from "../../src/proxy/codec/message.ts";

type WritableSocket = Pick<Socket, "write" | "pause" | "resume" | "end" | "terminate">;

/** The least that makes a Bun socket a codec's output: a queue, one write per event-loop turn, and a half-close. */
export class SocketOutput implements ConnectionOutput {
  readonly #socket: WritableSocket;
  #queue: Uint8Array[] = [];
  #scheduled = false;
  #ending = false;
  queuedBytes = 0;

  constructor(socket: WritableSocket) {
    this.#socket = socket;
  }

  write(bytes: Uint8Array | string): void {
    const piece = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    this.#queue.push(piece);
    this.queuedBytes += piece.length;
    this.#schedule();
  }

  writeCopy(bytes: Buffer, start: number, end: number): void {
    this.write(Buffer.from(bytes.subarray(start, end)));
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#ending = true;
    this.#schedule();
  }

  destroy(): void {
    this.#socket.terminate();
  }

  /** The socket can take more: writes what is left, and tells the codec once there is nothing. */
  onDrain(tell: () => void): void {
    this.#flush();
    if (this.queuedBytes === 0) tell();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.queuedBytes > 0) {
      const all = this.#queue.length === 1 ? this.#queue[0] : Buffer.concat(this.#queue);
      if (all === undefined) return;
      const written = Math.max(0, this.#socket.write(all));
      this.#queue = written < all.length ? [all.subarray(written)] : [];
      this.queuedBytes = all.length - written;
    }
    if (this.#ending && this.queuedBytes === 0) this.#socket.end();
  }
}
