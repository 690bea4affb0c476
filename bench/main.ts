/**
 * Side-by-side measurements: our pair of sidecars beside the proxies that people use instead, in one run, on one
 * machine, with one load. The figure to compare is CPU time per request of the proxies: on a shared machine it drifts
 * far less than throughput does. Linux only, two cores at least; needs wrk, openssl and taskset.
 */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { makeCertificates } from "./certificates.ts";
import type { Contender, Site } from "./contender.ts";
import { direct } from "./contenders/direct.ts";
import { envoy } from "./contenders/envoy.ts";
import { haproxyHttp1, haproxyHttp2 } from "./contenders/haproxy.ts";
import { heddle } from "./contenders/heddle.ts";
import { nginx } from "./contenders/nginx.ts";
import { sockets } from "./contenders/sockets.ts";
import { type Entrant, measure } from "./measure.ts";
import { freePort, LOAD_CORE, PROXY_CORE, pinSelf, spawnPinned, untilServing } from "./process.ts";
import { report } from "./report.ts";
import { PLANS, type Plan } from "./scenario.ts";

/** The first that runs is run twice: the control. */
const CONTENDERS: readonly Contender[] = [heddle, haproxyHttp1, haproxyHttp2, nginx, envoy, sockets, direct];

/** What a run cannot do without, and where Debian has it. */
const TOOLS: Readonly<Record<string, string>> = {
  wrk: "wrk",
  h2load: "nghttp2-client",
  openssl: "openssl",
  taskset: "util-linux",
};

const RESULTS = fileURLToPath(new URL("results", import.meta.url));

interface Options {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly only: readonly string[];
}

const progress = (message: string): void => console.error(`bench: ${message}`);

async function main(options: Options): Promise<void> {
  const absent = Object.entries(TOOLS).filter(([tool]) => Bun.which(tool) === null);
  if (absent.length > 0) {
    const packages = absent.map(([, name]) => name).join(" ");
    throw new Error(`missing: ${absent.map(([tool]) => tool).join(", ")}. Try: apt-get install ${packages}`);
  }
  if (cpus().length <= Math.max(PROXY_CORE, LOAD_CORE)) throw new Error("this takes two cores");
  await pinSelf(LOAD_CORE);
  const name = options.full === true ? "full" : options.quick === true ? "quick" : "standard";
  const contenders = CONTENDERS.filter((one) => options.only.length === 0 || options.only.includes(one.name)).filter(
    isHere,
  );
  if (contenders.length === 0) throw new Error("nothing to measure");
  await run(await mkdtemp(join(tmpdir(), "heddle-bench-")), contenders, name, PLANS[name]);
}

function isHere(contender: Contender): boolean {
  const missing = contender.missing();
  if (missing !== undefined) progress(`without ${contender.name}, which is not installed (${missing})`);
  return missing === undefined;
}

async function run(directory: string, contenders: readonly Contender[], planName: string, plan: Plan): Promise<void> {
  await using ending = new AsyncDisposableStack();
  const interrupted = async (): Promise<void> => {
    await ending.disposeAsync();
    process.exit(130);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  ending.defer(() => rm(directory, { recursive: true, force: true }));
  const defer: Site["defer"] = (stop) => ending.defer(async () => void (await stop()));

  const applications = { http: await startApplication(defer), grpc: await startGrpcApplication(defer) };
  const certificates = await makeCertificates(directory);
  const [first] = contenders;
  const control = `${first?.name} again`;
  const entrants: Entrant[] = [];
  for (const contender of first === undefined ? [] : [...contenders, first]) {
    const label = entrants.some((one) => one.label === contender.name) ? control : contender.name;
    progress(`starting ${label}`);
    for (const protocol of contender.carriesGrpc ? (["http", "grpc"] as const) : (["http"] as const)) {
      const own = join(directory, `${label.replace(" ", "-")}-${protocol}`);
      await mkdir(own);
      const applicationPort = applications[protocol];
      const pair = await contender.start({ directory: own, protocol, applicationPort, certificates, defer });
      entrants.push({ label, acceptsH2c: contender.acceptsH2c, protocol, pair });
    }
  }
  const results = await measure(entrants, plan, Math.random, progress);
  console.log(report(results, control));
  const versions = await Promise.all(contenders.map(async (one) => [one.name, await one.version()]));
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release() };
  const facts = { plan: planName, machine, versions: Object.fromEntries(versions) };
  await save({ ...facts, ...results }, new Date().toISOString());
}

async function startApplication(defer: Site["defer"]): Promise<number> {
  const port = await freePort();
  const script = fileURLToPath(new URL("application.ts", import.meta.url));
  spawnPinned(LOAD_CORE, [process.execPath, script, String(port)], defer);
  await untilServing(port, "/130");
  return port;
}

/** Nobody waits for it here: a pair that carries gRPC waits until it is reached. */
async function startGrpcApplication(defer: Site["defer"]): Promise<number> {
  const port = await freePort();
  const script = fileURLToPath(new URL("application-grpc.mjs", import.meta.url));
  spawnPinned(LOAD_CORE, ["node", script, String(port)], defer);
  return port;
}

async function save(record: Readonly<Record<string, unknown>>, date: string): Promise<void> {
  await mkdir(RESULTS, { recursive: true });
  const path = join(RESULTS, `${date.replace(/[:.]/g, "-")}.json`);
  await writeFile(path, `${JSON.stringify({ date, ...record }, null, 2)}\n`);
  progress(`written to ${path}`);
}

await new Command("bench")
  .description("Measure Heddle beside its peers.")
  .option("--quick", "about six minutes")
  .addOption(new Option("--full", "about an hour, for figures to publish").conflicts("quick"))
  .addOption(
    new Option("--only <name...>", "these contenders only").choices(CONTENDERS.map(({ name }) => name)).default([]),
  )
  .action(main)
  .parseAsync()
  .catch((error: unknown) => {
    progress(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  });
