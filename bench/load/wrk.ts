/** HTTP/1.1 with keep-alive, one request at a time on each connection: wrk, in one thread. */

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { HOST } from "../host.ts";
import { output } from "../process.ts";
import type { LoadOptions, LoadResult } from "./load.ts";

const SCRIPT = fileURLToPath(new URL("wrk.lua", import.meta.url));

const result = z.strictObject({
  requests: z.int(),
  durationUs: z.int(),
  p50Us: z.int(),
  p99Us: z.int(),
  failed: z.int(),
});

export async function loadHttp1({
  port,
  path,
  connections,
  seconds,
  varied = false,
}: LoadOptions): Promise<LoadResult> {
  const options = ["-t1", `-c${connections}`, `-d${seconds}s`, "-H", `Host: ${HOST}`, "-s", SCRIPT];
  const text = await output(["wrk", ...options, `http://127.0.0.1:${port}${path}`, "--", varied ? "varied" : "same"]);
  // The script's line comes after wrk's own report.
  return result.parse(JSON.parse(text.trim().split("\n").at(-1) ?? ""));
}
