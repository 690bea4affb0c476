/** A TCP connection as a test holds it: what to send, byte for byte, and what came back. */

import type { Socket } from "bun";
import { eventually } from "./mesh.ts";

export class RawClient {
  #socket: Socket<undefined> | undefined;
  #chunks: Buffer[] = [];
  /** The peer half-closed; the connection is gone. */
  ended = false;
  closed = false;

  static async connect(port: number, host = "127.0.0.1"): Promise<RawClient> {
    const client = new RawClient();
    client.#socket = await Bun.connect<undefined>({
      hostname: host,
      port,
      allowHalfOpen: true,
      socket: {
        data: (_socket, chunk) => void client.#chunks.push(Buffer.from(chunk)),
        end: () => {
          client.ended = true;
        },
        close: () => {
          client.ended = true;
          client.closed = true;
        },
        error() {},
      },
    });
    return client;
  }

  /** All that came so far, as latin1. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  /** Small messages only: what the kernel does not take at once is lost, and the test fails. */
  send(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    const taken = this.#socket?.write(bytes);
    if (taken !== bytes.length) throw new Error(`only ${taken} of ${bytes.length} bytes were taken`);
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Waits until what came holds `part`, or matches it. */
  async until(part: string | RegExp, timeoutMs = 5_000): Promise<string> {
    return eventually(() => {
      const { text } = this;
      if (typeof part === "string" ? text.includes(part) : part.test(text)) return text;
      throw new Error(
        `waiting for ${part}, got ${JSON.stringify(text.slice(-400))}${this.closed ? " and the end" : ""}`,
      );
    }, timeoutMs);
  }

  /** Waits until the peer has closed its side. */
  async untilEnded(timeoutMs = 5_000): Promise<string> {
    return eventually(() => {
      if (this.ended) return this.text;
      throw new Error(`the connection is still open after ${JSON.stringify(this.text.slice(-400))}`);
    }, timeoutMs);
  }

  halfClose(): void {
    this.#socket?.shutdown();
  }

  close(): void {
    this.#socket?.terminate();
  }
}
