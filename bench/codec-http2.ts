/**
 * CPU of our HTTP/2 codec for one small exchange, client and server side together, in memory: what is left when the
 * kernel and TLS are taken away. Run with `bun bench/codec-http2.ts`.
 */

import { Http2ClientConnection } from "../src/proxy/codec/http2/client-connection.ts";
import { Http2ServerConnection } from "../src/proxy/codec/http2/server-connection.ts";
import type {
  ConnectionOutput,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamListener,
} from "../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS } from "../src/proxy/limits.ts";

const BODY = new Uint8Array(130).fill(0x61);
const CONCURRENT = 16;
const ROUNDS = 20_000;
const REPETITIONS = 5;

/** Passes writes on in one chunk per turn, as the socket's owner would. */
class Wire implements ConnectionOutput {
  readonly #pieces: Uint8Array[] = [];
  queuedBytes = 0;

  write(bytes: Uint8Array | string): void {
    const piece = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    this.#pieces.push(piece);
    this.queuedBytes += piece.length;
  }

  writeCopy(bytes: Buffer, start: number, end: number): void {
    this.write(Buffer.from(bytes.subarray(start, end)));
  }

  take(): Uint8Array {
    const chunk = Buffer.concat(this.#pieces, this.queuedBytes);
    this.#pieces.length = 0;
    this.queuedBytes = 0;
    return chunk;
  }

  pauseReading(): void {}
  resumeReading(): void {}
  end(): void {}
  destroy(): void {}
}

function request(serial: number): RequestHead {
  return {
    method: "GET",
    path: `/orders/${serial & 0xff}?page=1`,
    authority: "orders.shop",
    scheme: "http",
    absoluteForm: false,
    upgrade: undefined,
    expectContinue: false,
    headers: [
      "user-agent",
      "bench/1.0",
      "accept",
      "*/*",
      "x-request-id",
      `4bf92f35-77b3-4da6-a3ce-${(serial & 0xffffff).toString(16).padStart(12, "0")}`,
      "traceparent",
      `00-4bf92f3577b34da6a3ce929d0e0e4736-${(serial & 0xffffff).toString(16).padStart(16, "0")}-01`,
    ],
    contentLength: 0,
    version: "2",
  };
}

const response: ResponseHead = {
  status: 200,
  headers: ["content-type", "application/json", "content-length", "130", "server", "bench", "date", "today"],
  contentLength: 130,
  version: "2",
};

function serve(stream: ServerStream): StreamListener<RequestHead> {
  return {
    onHead: () => {
      stream.sendHead(response, false);
      stream.sendData(BODY, true);
    },
    onInformational: () => {},
    onData: () => {},
    onTrailers: () => {},
    onDrain: () => {},
    onFault: (fault) => {
      throw new Error(fault.detail);
    },
  };
}

function run(rounds: number): number {
  const [toServer, toClient] = [new Wire(), new Wire()];
  const client = new Http2ClientConnection({ output: toServer, limits: DEFAULT_LIMITS });
  const server = new Http2ServerConnection({
    output: toClient,
    limits: DEFAULT_LIMITS,
    accept: serve,
    scheme: "http",
  });
  let done = 0;
  let bytes = 0;
  const listener: StreamListener<ResponseHead> = {
    onHead: () => {},
    onInformational: () => {},
    onData: (chunk, end) => {
      bytes += chunk.length;
      if (end) done++;
    },
    onTrailers: () => {},
    onDrain: () => {},
    onFault: (fault) => {
      throw new Error(fault.detail);
    },
  };
  const startedAt = Bun.nanoseconds();
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < CONCURRENT; i++) client.open(listener).sendHead(request(round * CONCURRENT + i), true);
    server.receive(toServer.take());
    client.receive(toClient.take());
    server.drained();
    client.drained();
  }
  const tookNs = Bun.nanoseconds() - startedAt;
  const expected = rounds * CONCURRENT;
  if (done !== expected || bytes !== expected * BODY.length) throw new Error(`${done} of ${expected} exchanges done`);
  return tookNs / expected;
}

run(ROUNDS / 10);
const results = Array.from({ length: REPETITIONS }, () => run(ROUNDS / REPETITIONS)).sort((a, b) => a - b);
const median = results[REPETITIONS >> 1] ?? Number.NaN;
console.log(`codec-http2: ${median.toFixed(0)} ns per exchange, both sides (${CONCURRENT} streams per chunk)`);
