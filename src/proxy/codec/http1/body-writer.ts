import type { ConnectionOutput, HeaderList } from "../message.ts";
import { type Framing, fieldLines } from "./head-writer.ts";

/**
 * Puts the body of one message on the wire, in the framing that its head announced. A body that breaks what its head
 * announced is not written: a byte too many would be read as the beginning of another message.
 */
export class BodyWriter {
  #framing: Framing = "none";
  #left = 0;

  /** `contentLength` counts where `framing` is `length`. */
  begin(framing: Framing, contentLength: number): void {
    this.#framing = framing;
    this.#left = contentLength;
  }

  /** A reader can tell a body that was cut short from a whole one, wherever the connection ends. */
  get showsItsEnd(): boolean {
    return this.#framing === "length" || this.#framing === "chunked";
  }

  /** False when the data is longer than announced, or ends before; nothing was written then. */
  data(output: ConnectionOutput, chunk: Uint8Array, end: boolean): boolean {
    const bytes = chunk.byteLength;
    switch (this.#framing) {
      case "none":
        return true;
      case "length":
        if (bytes > this.#left || (end && bytes < this.#left)) return false;
        this.#left -= bytes;
        if (bytes > 0) output.write(chunk);
        return true;
      case "chunked":
        if (bytes > 0) {
          output.write(`${bytes.toString(16)}\r\n`);
          output.write(chunk);
          output.write(end ? "\r\n0\r\n\r\n" : "\r\n");
        } else if (end) output.write("0\r\n\r\n");
        return true;
      default:
        if (bytes > 0) output.write(chunk);
        return true;
    }
  }

  /** Ends the body with trailers; where the framing knows none, just ends it. False as for `data`. */
  trailers(output: ConnectionOutput, trailers: HeaderList): boolean {
    if (this.#framing === "length") return this.#left === 0;
    if (this.#framing === "chunked") output.write(`0\r\n${fieldLines(trailers)}\r\n`);
    return true;
  }
}
