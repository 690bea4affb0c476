import { ChainedTable } from "../../chained-table.ts";
import { ClosedStreams } from "./closed-streams.ts";
import type { Head } from "./role.ts";
import type { Http2Stream } from "./stream.ts";

/** The streams of one connection. All of them are opened by the client, since nobody pushes. */
export class StreamTable<In extends Head, Out extends Head> {
  readonly #open = new ChainedTable<Http2Stream<In, Out>>();
  /** Opened on a client, but still without an identifier, because their heads have yet to go out: few at any time. */
  readonly #unsent: Http2Stream<In, Out>[] = [];
  readonly closed = new ClosedStreams();
  /** The highest identifier that the client has used. */
  highestId = 0;

  get size(): number {
    return this.#open.size + this.#unsent.length;
  }

  get unsent(): number {
    return this.#unsent.length;
  }

  get(streamId: number): Http2Stream<In, Out> | undefined {
    let stream = this.#open.chain(streamId >>> 1);
    while (stream !== undefined && stream.id !== streamId) stream = stream.chained;
    return stream;
  }

  /** True for a stream that nobody has opened (RFC 9113 §5.1 "idle"). */
  isIdle(streamId: number): boolean {
    return streamId > this.highestId || (streamId & 1) === 0;
  }

  add(stream: Http2Stream<In, Out>): void {
    if (stream.id === 0) this.#unsent.push(stream);
    else this.#open.add(stream);
  }

  /** Gives a stream its identifier, which must be the next one. */
  assign(stream: Http2Stream<In, Out>, streamId: number): void {
    this.#deleteUnsent(stream);
    stream.id = streamId;
    this.highestId = streamId;
    this.#open.add(stream);
  }

  delete(stream: Http2Stream<In, Out>): void {
    if (stream.id === 0) this.#deleteUnsent(stream);
    else this.#open.delete(stream);
  }

  /** The streams as of now, in the order of their heads, unsent ones last, for callers that may close some on the way. */
  all(): Http2Stream<In, Out>[] {
    return [...this.#open.all().sort((one, other) => one.id - other.id), ...this.#unsent];
  }

  #deleteUnsent(stream: Http2Stream<In, Out>): void {
    // Nearly always it is the only one: its head goes out as soon as it was opened.
    const at = this.#unsent.lastIndexOf(stream);
    if (at >= 0) this.#unsent.splice(at, 1);
  }
}
