/** Holds what arrives of a request until it is decided where the request goes. */

import type { HeaderList } from "./codec/message.ts";

/** Of a body that waits. */
export type BodyPart =
  | { readonly kind: "data"; readonly chunk: Uint8Array; readonly end: boolean }
  | { readonly kind: "trailers"; readonly trailers: HeaderList };

export interface HeldRequestReader {
  /** False: nothing more for the moment. What is held comes all the same: it is there already. */
  takeData(chunk: Uint8Array, end: boolean): boolean;
  takeTrailers(trailers: HeaderList): void;
}

/** Its stream is paused meanwhile, so it holds at most what was on its way: a window, or one read of the socket. */
export class HeldRequest {
  readonly #parts: BodyPart[] = [];

  /** Copies the bytes: those of a codec are its own again when it has passed them on. */
  data(chunk: Uint8Array, end: boolean): void {
    this.#parts.push({ kind: "data", chunk: chunk.slice(), end });
  }

  trailers(trailers: HeaderList): void {
    this.#parts.push({ kind: "trailers", trailers });
  }

  /** Passes everything on, in order. False where the last part met a reader that takes nothing more for the moment. */
  release(reader: HeldRequestReader): boolean {
    let goOn = true;
    for (const part of this.#parts) {
      if (part.kind === "data") goOn = reader.takeData(part.chunk, part.end);
      else reader.takeTrailers(part.trailers);
    }
    return goOn;
  }
}
