/** A codec that only takes notes: for tests of what feeds codecs. */

import type { ConnectionInput } from "../../src/proxy/codec/message.ts";

export class RecordingInput implements ConnectionInput {
  readonly #chunks: Uint8Array[] = [];
  ends = 0;
  closes = 0;
  drains = 0;
  openStreams = 0;

  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return Buffer.from(this.bytes).toString("latin1");
  }

  receive(chunk: Uint8Array): void {
    this.#chunks.push(Uint8Array.from(chunk));
  }

  receiveEnd(): void {
    this.ends++;
  }

  receiveClose(): void {
    this.closes++;
  }

  drained(): void {
    this.drains++;
  }
}
