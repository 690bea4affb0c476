/**
 * What policy costs a caller's sidecar: CPU per request among 1,000 services whose routes have ten rules each, beside one
 * such service; and 5,000 snapshots taken up one after the other under load. Each sidecar is a process of its own, as
 * `heddle sidecar` runs it. Run it as `npm run bench:policy`, or with `-- routes` or `-- swaps` for one of
 * the two, or with `-- large-swap` for what the swap of all those routes does to requests; needs
 * wrk, openssl and taskset, Linux only.
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cpuTimeUs, memory } from "./accounting.ts";
import { makeCertificates } from "./certificates.ts";
import type { Site } from "./contender.ts";
import { startPair } from "./contenders/heddle.ts";
import { swapLarge } from "./large-swap.ts";
import { loadOpenLoop } from "./load/open-loop.ts";
import { loadHttp1 } from "./load/wrk.ts";
import { freePort, LOAD_CORE, pinSelf, spawnPinned, untilServing } from "./process.ts";
import { type Pair, SnapshotPushes, snapshotOfWeb } from "./snapshot-pushes.ts";
import { median, percentile, spread } from "./statistics.ts";

const SERVICES = 1_000;
const OTHERS = Array.from({ length: SERVICES - 1 }, (_, at) => `other-${at}`);
const RULES = 10;
const ROUNDS = 7;
const SWAPS = 5_000;
/** Memory is looked at this often meanwhile. */
const LOOKS = 4;
/** After so long without a request, a sidecar has given back what it does not need (src/proxy/sidecar/idle-memory.ts). */
const REST_MS = 125_000;
/** The load that swaps happen under. */
const LOAD = { path: "/130", connections: 16, seconds: 5, requestsPerSecond: 500 } as const;

function show(name: string, text: string): void {
  console.log(`${name.padEnd(48)} ${text}`);
}

/** Services that web may call, with a route each, of whose rules only the last one matches. */
function policy(names: readonly string[]): string {
  const rules = Array.from({ length: RULES - 1 }, (_, at) => `{ match: [{ path: { prefix: /v${at}/items } }] }`);
  const document = (kind: string, name: string, spec: string): string =>
    `apiVersion: heddle/v1\nkind: ${kind}\nmetadata: { namespace: shop, name: ${name} }\nspec: ${spec}\n---\n`;
  const ports = "{ ports: [{ port: 8080, protocol: http }] }";
  const called = names.map(
    (name) =>
      document("Service", name, ports) +
      document("AccessPolicy", name, `{ service: ${name}, rules: [{ allow: { from: [shop/web] } }] }`) +
      document("Route", name, `{ service: ${name}, rules: [${rules.join(", ")}, { timeout: 3s }] }`),
  );
  return document("Service", "web", ports) + called.join("");
}

async function routes(site: Site): Promise<void> {
  const one = await start(site, "one", ["catalog"]);
  const many = await start(site, "many", ["catalog", ...OTHERS]);
  const { upstreams } = await snapshotOfWeb(many);
  if (Object.keys(upstreams).length !== SERVICES) throw new Error("not all routes have come to the caller");
  const found = { one: [] as number[], many: [] as number[] };
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, pair] of Object.entries({ one, many }) as ["one" | "many", Pair][]) {
      const beforeUs = await cpuTimeUs(pair.pids);
      const { requests, failed } = await loadHttp1({ port: pair.port, path: "/130", connections: 64, seconds: 2 });
      if (failed > 0) throw new Error(`${failed} requests failed`);
      // The first is for compilers to compile.
      if (round > 0) found[name].push(((await cpuTimeUs(pair.pids)) - beforeUs) / requests);
    }
  }
  const text = (values: readonly number[]): string =>
    `${median(values).toFixed(1)} µs (± ${(100 * spread(values)).toFixed(0)}%)`;
  show(`CPU per request, 1 route of ${RULES} rules`, text(found.one));
  show(`CPU per request, ${SERVICES} routes of ${RULES} rules`, text(found.many));
  show("ratio", (median(found.many) / median(found.one)).toFixed(2));
  await swapLarge(many, show);
}

async function swaps(site: Site): Promise<void> {
  const pair = await start(site, "swaps", ["catalog"]);
  const [webPid = 0] = pair.pids;
  const pushes = await SnapshotPushes.of(pair);
  const residentMb = async (): Promise<string> => ((await memory([webPid])).rssKb / 1024).toFixed(0);
  for (let warm = 0; warm < 2; warm++) await loadOpenLoop({ ...LOAD, port: pair.port });
  const still = await loadOpenLoop({ ...LOAD, port: pair.port });
  const sizes = [await residentMb()];
  let swapping = true;
  const load = (async () => {
    const found = [];
    while (swapping) found.push(await loadOpenLoop({ ...LOAD, port: pair.port }));
    return found;
  })();
  const look = async (done: number): Promise<void> => {
    if (done % (SWAPS / LOOKS) === 0) sizes.push(await residentMb());
  };
  const timesMs = (await pushes.push(pushes.prepare(SWAPS), look)).sort((a, b) => a - b);
  swapping = false;
  const slices = await load;
  await Bun.sleep(REST_MS);
  const rested = await residentMb();
  const p99Ms = median(slices.map(({ p99Us }) => p99Us)) / 1000;
  const times = [0.5, 0.99, 1].map((share) => percentile(timesMs, share).toFixed(1));
  show(`${SWAPS} swaps, pushed until in force`, `p50 ${times[0]} ms, p99 ${times[1]} ms, at most ${times[2]} ms`);
  show("p99 of requests, without and during swaps", `${(still.p99Us / 1000).toFixed(1)} and ${p99Ms.toFixed(1)} ms`);
  show("requests that failed meanwhile", String(slices.reduce((sum, { failed }) => sum + failed, 0)));
  show(`RSS of the sidecar, before and after each ${SWAPS / LOOKS}`, `${sizes.join(", ")} MB`);
  show("and after a rest", `${rested} MB`);
}

async function start(site: Site, name: string, services: readonly string[]): Promise<Pair> {
  const directory = join(site.directory, name);
  await mkdir(directory);
  return startPair({ ...site, directory }, policy(services));
}

await using ending = new AsyncDisposableStack();
await pinSelf(LOAD_CORE);
const directory = await mkdtemp(join(tmpdir(), "heddle-bench-"));
ending.defer(() => rm(directory, { recursive: true, force: true }));
const defer: Site["defer"] = (stop) => ending.defer(async () => void (await stop()));
const applicationPort = await freePort();
const application = fileURLToPath(new URL("application.ts", import.meta.url));
spawnPinned(LOAD_CORE, [process.execPath, application, String(applicationPort)], defer);
await untilServing(applicationPort, "/130");
const site: Site = {
  directory,
  protocol: "http",
  applicationPort,
  certificates: await makeCertificates(directory),
  defer,
};
const [only] = process.argv.slice(2);
if (only === undefined || only === "routes") await routes(site);
if (only === undefined || only === "swaps") await swaps(site);
if (only === "large-swap") await swapLarge(await start(site, "many", ["catalog", ...OTHERS]), show);
