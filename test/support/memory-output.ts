import type { ConnectionInput, ConnectionOutput } from "../../src/proxy/codec/message.ts";

/** A codec's output in memory: keeps what was written until someone takes it, as a socket with a slow peer would. */
export class MemoryOutput implements ConnectionOutput {
  #pieces: Buffer[] = [];
  queuedBytes = 0;
  ended = false;
  destroyed = false;
  readingPaused = false;
  writes = 0;

  write(bytes: Uint8Array | string): void {
    const piece = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
    this.#pieces.push(piece);
    this.queuedBytes += piece.length;
    this.writes++;
  }

  writeCopy(bytes: Buffer, start: number, end: number): void {
    this.write(Buffer.from(bytes.subarray(start, end)));
  }

  pauseReading(): void {
    this.readingPaused = true;
  }

  resumeReading(): void {
    this.readingPaused = false;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** Takes up to `bytesMax` of what is queued, in order. */
  take(bytesMax = Number.POSITIVE_INFINITY): Buffer {
    const all = Buffer.concat(this.#pieces);
    const taken = all.subarray(0, Math.min(all.length, bytesMax));
    this.#pieces = taken.length < all.length ? [all.subarray(taken.length)] : [];
    this.queuedBytes -= taken.length;
    return taken;
  }
}

/** Carries bytes between two codecs until neither has anything left to say. */
export function settle(a: Side, b: Side): void {
  while (carry(a, b) || carry(b, a)) {}
}

export interface Side {
  readonly output: MemoryOutput;
  readonly connection: ConnectionInput;
}

function carry(from: Side, to: Side): boolean {
  if (from.output.queuedBytes === 0) return false;
  to.connection.receive(from.output.take());
  from.connection.drained();
  return true;
}
