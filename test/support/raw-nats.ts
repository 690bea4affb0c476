/**
 * NATS spoken by hand on a socket, as somebody would who means no good: nothing stands between what is tried and the
 * server's answer to it (docs.nats.io, "Client Protocol").
 */

import { connect, type Socket } from "node:net";
import type { Credentials } from "../../src/nats/credentials.ts";
import { sign } from "../../src/nats/keys.ts";

/** What came back of an attempt. */
export interface Outcome {
  /** The server's refusals, as it words them. */
  readonly refusals: readonly string[];
  /** Subjects of the messages that were delivered. */
  readonly delivered: readonly string[];
  /** The server has ended the connection. */
  readonly closed: boolean;
}

export class RawNats {
  #refusals: string[] = [];
  #delivered: string[] = [];
  #text = "";
  #closed = false;
  #waiting: (() => void) | undefined;

  private constructor(private readonly socket: Socket) {
    socket.on("data", (bytes) => this.#read(bytes.toString("latin1")));
    socket.on("close", () => {
      this.#closed = true;
      this.#waiting?.();
    });
    socket.on("error", () => {});
  }

  /** Connects and proves to be whose credentials these are. Rejects with the server's words when it says no. */
  static async connect(url: string, credentials: Pick<Credentials, "jwt" | "seed">): Promise<RawNats> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const info = await new Promise<string>((resolve, reject) => {
      socket.once("data", (bytes) => resolve(bytes.toString()));
      socket.once("error", reject);
    });
    const { nonce } = JSON.parse(info.slice("INFO ".length)) as { nonce: string };
    const signature = Buffer.from(sign(credentials.seed, new TextEncoder().encode(nonce))).toString("base64url");
    const raw = new RawNats(socket);
    const options = { verbose: false, pedantic: false, headers: true, no_responders: true, lang: "raw", version: "0" };
    const { refusals } = await raw.attempt(
      `CONNECT ${JSON.stringify({ ...options, jwt: credentials.jwt, sig: signature })}\r\n`,
    );
    if (refusals.length > 0) throw new Error(refusals.join("; "));
    return raw;
  }

  /** Sends lines as they are, and resolves when the server has dealt with them. */
  async attempt(lines: string): Promise<Outcome> {
    this.#refusals = [];
    this.#delivered = [];
    const answered = new Promise<void>((resolve) => {
      this.#waiting = resolve;
    });
    // Answers come in order: what this ping's pong has not been preceded by, does not come.
    if (this.#closed) this.#waiting?.();
    else this.socket.write(`${lines}PING\r\n`);
    await answered;
    return { refusals: this.#refusals, delivered: this.#delivered, closed: this.#closed };
  }

  close(): void {
    this.socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    for (;;) {
      const end = this.#text.indexOf("\r\n");
      if (end < 0) return;
      const line = this.#text.slice(0, end);
      const payload = /^H?MSG (\S+).* (\d+)$/.exec(line);
      const length = end + 2 + (payload === null ? 0 : Number(payload[2]) + 2);
      if (this.#text.length < length) return;
      this.#text = this.#text.slice(length);
      if (payload?.[1] !== undefined) this.#delivered.push(payload[1]);
      if (line.startsWith("-ERR")) this.#refusals.push(line.slice("-ERR ".length).replaceAll("'", ""));
      if (line === "PING") this.socket.write("PONG\r\n");
      if (line === "PONG") this.#waiting?.();
    }
  }
}

/** A message without headers; the reply subject is where an answer should go. */
export function pub(subject: string, payload = "{}", reply = ""): string {
  return `PUB ${subject} ${reply === "" ? "" : `${reply} `}${Buffer.byteLength(payload)}\r\n${payload}\r\n`;
}

/** A message with headers. */
export function hpub(subject: string, headers: Readonly<Record<string, string>>, payload = ""): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `NATS/1.0\r\n${fields.join("")}\r\n`;
  const [headBytes, bytes] = [Buffer.byteLength(head), Buffer.byteLength(payload)];
  return `HPUB ${subject} ${headBytes} ${headBytes + bytes}\r\n${head}${payload}\r\n`;
}

/** A subscription, with a queue group or without. */
export function sub(subject: string, queue = ""): string {
  return `SUB ${subject} ${queue === "" ? "" : `${queue} `}${crypto.randomUUID().slice(0, 8)}\r\n`;
}
