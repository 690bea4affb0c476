/**
 * Requests at a fixed rate, whether or not earlier ones have been answered: what a user waits for, queueing included.
 * A request that is due while every connection is busy waits, and its wait counts (no coordinated omission).
 */

import type { Socket } from "bun";
import { HOST } from "../host.ts";
import { percentile } from "../statistics.ts";
import type { LoadOptions, LoadResult } from "./load.ts";

export interface OpenLoopOptions extends LoadOptions {
  readonly requestsPerSecond: number;
}

export interface OpenLoopResult extends LoadResult {
  /** Of every request, from the shortest to the longest. */
  readonly latenciesUs: readonly number[];
}

/** How often it is looked which requests are due. */
const TICK_MS = 1;
const HEAD_END = Buffer.from("\r\n\r\n");

/** One connection, with at most one request under way. */
class Connection {
  #pending = Buffer.alloc(0);
  #dueMs: number | undefined;

  constructor(
    private readonly socket: Socket<unknown>,
    private readonly request: Buffer,
    private readonly answered: (connection: Connection, latencyMs: number, succeeded: boolean) => void,
  ) {}

  send(dueMs: number): void {
    this.#dueMs = dueMs;
    this.socket.write(this.request);
  }

  receive(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    const headEnd = this.#pending.indexOf(HEAD_END);
    if (headEnd < 0 || this.#dueMs === undefined) return;
    const head = this.#pending.toString("latin1", 0, headEnd);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) throw new Error(`open loop: an answer without a length: ${head}`);
    if (this.#pending.length < headEnd + HEAD_END.length + length) return;
    this.#pending = Buffer.alloc(0);
    const latencyMs = performance.now() - this.#dueMs;
    this.#dueMs = undefined;
    this.answered(this, latencyMs, head.startsWith("HTTP/1.1 200"));
  }
}

/** Resolves when every request that became due within `seconds` has been answered. */
export async function loadOpenLoop(options: OpenLoopOptions): Promise<OpenLoopResult> {
  const { port, path, connections, seconds, requestsPerSecond } = options;
  const total = Math.floor(seconds * requestsPerSecond);
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`, "latin1");
  const idle: Connection[] = [];
  const waiting: number[] = [];
  const latenciesMs: number[] = [];
  let failed = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const answered = (connection: Connection, latencyMs: number, succeeded: boolean): void => {
    latenciesMs.push(latencyMs);
    if (!succeeded) failed++;
    const dueMs = waiting.shift();
    if (dueMs === undefined) idle.push(connection);
    else connection.send(dueMs);
    if (latenciesMs.length === total) resolve();
  };
  const sockets = await Promise.all(
    Array.from({ length: connections }, () => open(port, request, answered, idle, reject)),
  );
  const startMs = performance.now();
  let due = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (; due < total && startMs + (due * 1000) / requestsPerSecond <= nowMs; due++) {
      // From this moment, and not from the tick it missed: that the load's own timer is late is nobody's latency.
      const connection = idle.pop();
      if (connection === undefined) waiting.push(nowMs);
      else connection.send(nowMs);
    }
    if (due === total) clearInterval(timer);
  }, TICK_MS);
  try {
    await promise;
  } finally {
    clearInterval(timer);
    for (const socket of sockets) socket.end();
  }
  const sorted = latenciesMs.sort((a, b) => a - b);
  const durationUs = (performance.now() - startMs) * 1000;
  return {
    requests: total,
    durationUs,
    p50Us: percentile(sorted, 0.5) * 1000,
    p99Us: percentile(sorted, 0.99) * 1000,
    latenciesUs: sorted.map((ms) => ms * 1000),
    failed,
  };
}

function open(
  port: number,
  request: Buffer,
  answered: (connection: Connection, latencyMs: number, succeeded: boolean) => void,
  idle: Connection[],
  broken: (error: Error) => void,
): Promise<Socket<Connection | undefined>> {
  let ended = false;
  return Bun.connect<Connection | undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        const connection = new Connection(socket, request, answered);
        socket.data = connection;
        idle.push(connection);
      },
      data: (socket, chunk) => socket.data?.receive(chunk),
      end: () => {
        ended = true;
      },
      close: () => {
        if (ended) broken(new Error("open loop: a connection was closed by the proxy"));
      },
    },
  });
}
