/** HTTP/2 without TLS by prior knowledge, many streams on each connection: h2load, in one thread. */

import { HOST } from "../contender.ts";
import { output } from "../process.ts";
import type { LoadOptions, LoadResult } from "./load.ts";

/** Streams open at once on each connection. */
const STREAMS = 16;

/** h2load prints no percentiles, so there are none. */
export async function loadHttp2({ port, path, connections, seconds }: LoadOptions): Promise<LoadResult> {
  const options = [`-c${connections}`, `-m${STREAMS}`, "-t1", "-D", String(seconds), "-H", `:authority: ${HOST}`];
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
