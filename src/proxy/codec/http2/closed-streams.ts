import { CLOSED_STREAMS_REMEMBERED } from "./bounds.ts";

/** How a stream came to its end, or that we no longer know. */
export const Closed = {
  Forgotten: 0,
  /** Both sides sent END_STREAM. */
  Finished: 1,
  /** We sent RST_STREAM: frames that were on their way are ignored. */
  ResetByUs: 2,
  /** The peer sent RST_STREAM: it has no reason to send more. */
  ResetByPeer: 3,
} as const;

export type ClosedHow = (typeof Closed)[keyof typeof Closed];

/**
 * The streams that closed last (RFC 9113 §5.1 "closed"), in constant memory: a table with one slot per identifier
 * modulo its size, where a newer stream overwrites an older one.
 */
export class ClosedStreams {
  readonly #ids = new Uint32Array(CLOSED_STREAMS_REMEMBERED);
  readonly #how = new Uint8Array(CLOSED_STREAMS_REMEMBERED);

  remember(streamId: number, how: ClosedHow): void {
    const slot = (streamId >>> 1) & (CLOSED_STREAMS_REMEMBERED - 1);
    this.#ids[slot] = streamId;
    this.#how[slot] = how;
  }

  how(streamId: number): ClosedHow {
    const slot = (streamId >>> 1) & (CLOSED_STREAMS_REMEMBERED - 1);
    if (this.#ids[slot] !== streamId) return Closed.Forgotten;
    switch (this.#how[slot]) {
      case Closed.Finished:
        return Closed.Finished;
      case Closed.ResetByUs:
        return Closed.ResetByUs;
      default:
        return Closed.ResetByPeer;
    }
  }
}
