/** What either role does with arriving bytes: keeps them, takes them as far as they go, and stops reading meanwhile. */

import type { Limits } from "../../limits.ts";
import type { ConnectionOutput } from "../message.ts";
import { InputBuffer } from "./input-buffer.ts";

/** A connection, which alone knows what its next bytes are. */
export interface PumpOwner {
  readonly output: ConnectionOutput;
  readonly limits: Limits;
  /** Takes one step; false when there is none to take. */
  advance(): boolean;
  /** There is no further step: sees to what follows from the input's end, if it has come. */
  advanced(): void;
  /** Nothing more is to be read for now. */
  readonly wantsPause: boolean;
  readonly isClosed: boolean;
}

export class InputPump {
  readonly input = new InputBuffer();
  readonly #owner: PumpOwner;
  #paused = false;
  #readingPaused = false;
  #running = false;

  constructor(owner: PumpOwner) {
    this.#owner = owner;
  }

  /** The stream asked for a pause. */
  get paused(): boolean {
    return this.#paused;
  }

  /** False where whoever reads goes on although asked not to, which would fill the memory. */
  receive(chunk: Uint8Array): boolean {
    if (chunk.byteLength === 0) return true;
    this.input.push(chunk);
    this.run();
    return !this.#readingPaused || this.input.length <= this.#owner.limits.connectionWindowBytes;
  }

  /** Takes what has arrived as far as it goes. Calls from within a listener return at once: the outer one goes on. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#owner.advance());
      this.#owner.advanced();
    } finally {
      this.#running = false;
    }
    this.#adjustReading();
  }

  setPaused(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    if (paused) this.#adjustReading();
    else this.run();
  }

  /** The listener that asked for a pause is gone; running the pump shows whether there is more to read. */
  forgetPause(): void {
    this.#paused = false;
  }

  #adjustReading(): void {
    const { wantsPause, isClosed, output } = this.#owner;
    if (wantsPause === this.#readingPaused) return;
    this.#readingPaused = wantsPause;
    if (isClosed) return;
    if (wantsPause) output.pauseReading();
    else output.resumeReading();
  }
}
