/** Telling TLS from plaintext on one port: a TLS connection begins with a handshake record (RFC 8446 §5.1). */

import type { Socket } from "bun";
import type { Peek } from "../intercept/peek.ts";
import type { Timers } from "./timers.ts";
import { Timer } from "./timers.ts";

const TLS_HANDSHAKE = 0x16;
/** The runtime tells only of bytes that it has taken, so we look ourselves: often at first, for most speak at once. */
const LOOK_MS = 10;
const LOOK_MS_MAX = 160;

export interface FirstByteOptions {
  readonly socket: Socket<unknown>;
  readonly peek: () => Peek | undefined;
  readonly timers: Timers;
  /** How long to wait; then it is `onSilence`'s. */
  readonly timeoutMs: number;
  readonly onByte: (isTls: boolean) => void;
  readonly onSilence: () => void;
}

/** Calls exactly one of its callbacks, unless it is cancelled. The socket is paused meanwhile. */
export class FirstByte {
  readonly #options: FirstByteOptions;
  readonly #timer: Timer;
  #waitedMs = 0;
  #delayMs = LOOK_MS;

  constructor(options: FirstByteOptions) {
    this.#options = options;
    this.#timer = new Timer(() => this.#look());
  }

  /** May call back at once. */
  begin(): void {
    this.#options.socket.pause();
    this.#look();
  }

  cancel(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const { socket, peek, timers, timeoutMs, onByte, onSilence } = this.#options;
    const seen = peek()?.(socket) ?? "nothing";
    if (seen === "end") onSilence();
    else if (seen !== "nothing") onByte(seen === TLS_HANDSHAKE);
    else if (this.#waitedMs >= timeoutMs) onSilence();
    else {
      timers.arm(this.#timer, this.#delayMs);
      this.#waitedMs += this.#delayMs;
      if (this.#waitedMs > 1_000) this.#delayMs = LOOK_MS_MAX;
    }
  }
}
