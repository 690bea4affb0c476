/** HTTP/2 without TLS by prior knowledge, many streams on each connection: h2load, in one thread. */

import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOST } from "../host.ts";
import { output } from "../process.ts";
import type { LoadOptions, LoadResult } from "./load.ts";

/** Streams open at once on each connection. */
const STREAMS = 16;

/** What a unary call sends: one message of two bytes, behind its flag and length. */
const GRPC_REQUEST = Uint8Array.from([0, 0, 0, 0, 2, 8, 1]);

export interface GrpcLoadOptions extends LoadOptions {
  readonly host?: string;
  readonly requestsPerSecond?: number;
}

export function loadHttp2(options: LoadOptions): Promise<LoadResult> {
  return load(options, []);
}

/** Unary gRPC calls: POST with a message, answered with a message and trailers; as fast as they go where no rate is given. */
export async function loadGrpc(options: GrpcLoadOptions): Promise<LoadResult> {
  const { requestsPerSecond, connections } = options;
  const message = join(tmpdir(), `heddle-bench-grpc-${process.pid}`);
  await writeFile(message, GRPC_REQUEST);
  return load({ ...options, path: "/heddle.Bench/Get" }, [
    ...["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"],
    ...(requestsPerSecond === undefined ? [] : ["--rps", String(requestsPerSecond / connections)]),
  ]);
}

/** h2load prints no percentiles, so there are none. */
async function load(
  { port, path, connections, seconds, host = HOST }: GrpcLoadOptions,
  more: readonly string[],
): Promise<LoadResult> {
  const options = [
    `-c${connections}`,
    `-m${STREAMS}`,
    "-t1",
    "-D",
    String(seconds),
    "-H",
    `:authority: ${host}`,
    ...more,
  ];
  const text = await output(["h2load", ...options, `http://127.0.0.1:${port}${path}`]);
  const counts = /^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded/m.exec(text);
  if (counts === null) throw new Error(`h2load: ${text.trim()}`);
  const [, done, succeeded] = counts.map(Number);
  if (done === undefined || succeeded === undefined) throw new Error(`h2load: ${text.trim()}`);
  return {
    requests: done,
    durationUs: seconds * 1_000_000,
    p50Us: Number.NaN,
    p99Us: Number.NaN,
    failed: done - succeeded,
  };
}
