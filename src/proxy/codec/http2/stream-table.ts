import { ClosedStreams } from "./closed-streams.ts";
import type { Head } from "./role.ts";
import type { Http2Stream } from "./stream.ts";

/** The streams of one connection. All of them are opened by the client, since nobody pushes. */
export class StreamTable<In extends Head, Out extends Head> {
  readonly #open = new Map<number, Http2Stream<In, Out>>();
  /** Opened on a client, but still without an identifier, because their heads have yet to go out. */
  readonly #unsent = new Set<Http2Stream<In, Out>>();
  readonly closed = new ClosedStreams();
  /** The highest identifier that the client has used. */
  highestId = 0;

  get size(): number {
    return this.#open.size + this.#unsent.size;
  }

  get unsent(): number {
    return this.#unsent.size;
  }

  get(streamId: number): Http2Stream<In, Out> | undefined {
    return this.#open.get(streamId);
  }

  /** True for a stream that nobody has opened (RFC 9113 §5.1 "idle"). */
  isIdle(streamId: number): boolean {
    return streamId > this.highestId || (streamId & 1) === 0;
  }

  add(stream: Http2Stream<In, Out>): void {
    if (stream.id === 0) this.#unsent.add(stream);
    else this.#open.set(stream.id, stream);
  }

  /** Gives a stream its identifier, which must be the next one. */
  assign(stream: Http2Stream<In, Out>, streamId: number): void {
    this.#unsent.delete(stream);
    stream.id = streamId;
    this.highestId = streamId;
    this.#open.set(streamId, stream);
  }

  delete(stream: Http2Stream<In, Out>): void {
    if (stream.id === 0) this.#unsent.delete(stream);
    else this.#open.delete(stream.id);
  }

  /** The streams as of now, unsent ones included, for callers that may close some on the way. */
  all(): Http2Stream<In, Out>[] {
    return [...this.#open.values(), ...this.#unsent];
  }
}
