/**
 * A raw TCP connection, put as one CONNECT exchange (RFC 9110 §9.3.6) whose tunnel is all there is: the same exchange,
 * pools and HTTP/2 hop then carry TCP as they carry requests, half-close included (END_STREAM is a FIN).
 */

import type { Limits } from "../../limits.ts";
import type { ConnectionOutput, StreamFault, StreamListener } from "../message.ts";

const NO_DATA = new Uint8Array(0);
const RESET: StreamFault = { kind: "peer-reset", detail: "tcp_connection_reset" };

/** Both directions of one connection, whichever side opened it. Bytes wait until `open`. */
export class TcpTunnel<H> {
  readonly #output: ConnectionOutput;
  readonly #limits: Limits;
  readonly #onOver: () => void;
  #listener: StreamListener<H> | undefined;
  /** What came before the tunnel was open, or while it was paused: what one read brought, since reading stops. */
  readonly #held: Uint8Array[] = [];
  #open = false;
  #paused = false;
  #readingPaused = false;
  #inputEnded = false;
  #inputEndTold = false;
  #outputEnded = false;
  #wantsDrain = false;
  #over = false;

  /** @param onOver both directions have ended, or the tunnel was torn down. */
  constructor(output: ConnectionOutput, limits: Limits, onOver: () => void) {
    this.#output = output;
    this.#limits = limits;
    this.#onOver = onOver;
  }

  get over(): boolean {
    return this.#over;
  }

  listen(listener: StreamListener<H>): void {
    this.#listener = listener;
  }

  /** The other side is there: bytes may flow. */
  open(): void {
    this.#open = true;
    this.#release();
  }

  // From the socket

  receive(chunk: Uint8Array): void {
    if (this.#over) return;
    if (this.#open && !this.#paused && this.#held.length === 0) this.#listener?.onData(chunk, false);
    else {
      this.#held.push(chunk);
      this.#adjustReading();
    }
  }

  receiveEnd(): void {
    this.#inputEnded = true;
    this.#release();
  }

  receiveClose(): void {
    if (this.#over) return;
    this.#finish();
    this.#listener?.onFault(RESET);
  }

  drained(): void {
    if (!this.#wantsDrain || this.#over || this.#output.queuedBytes > this.#limits.writeHighWaterBytes) return;
    this.#wantsDrain = false;
    this.#listener?.onDrain();
  }

  // From the stream

  send(chunk: Uint8Array, end: boolean): boolean {
    if (this.#over || this.#outputEnded) return true;
    this.#output.write(chunk);
    if (end) {
      this.#outputEnded = true;
      this.#output.end();
      this.#endIfBothEnded();
      return true;
    }
    // Once told to wait, the owner waits for `onDrain`: what was on its way and fits again must not call that off.
    if (this.#output.queuedBytes > this.#limits.writeHighWaterBytes) this.#wantsDrain = true;
    return !this.#wantsDrain;
  }

  /** Says why there will be no tunnel, and ends. */
  refuse(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#finish();
    this.#output.write(bytes);
    this.#output.end();
  }

  /** Tears both directions down. */
  reset(): void {
    if (this.#over) return;
    this.#finish();
    this.#output.destroy();
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#release();
    this.#adjustReading();
  }

  #release(): void {
    while (this.#open && !this.#paused && this.#held.length > 0) {
      const chunk = this.#held.shift();
      if (chunk !== undefined) this.#listener?.onData(chunk, false);
    }
    if (this.#inputEnded && !this.#inputEndTold && this.#open && this.#held.length === 0 && !this.#over) {
      this.#inputEndTold = true;
      this.#listener?.onData(NO_DATA, true);
      this.#endIfBothEnded();
    }
    this.#adjustReading();
  }

  #endIfBothEnded(): void {
    if (this.#inputEndTold && this.#outputEnded) this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#held.length = 0;
    this.#onOver();
  }

  #adjustReading(): void {
    const pause = !this.#over && (this.#paused || this.#held.length > 0);
    if (pause === this.#readingPaused) return;
    this.#readingPaused = pause;
    if (pause) this.#output.pauseReading();
    else this.#output.resumeReading();
  }
}
