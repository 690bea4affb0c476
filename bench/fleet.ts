/**
 * What the control plane costs as a mesh grows: a real `heddle up`, and a fleet of instances that connect, follow their
 * configuration and report as sidecars do, but carry no traffic. Tells what control and NATS use while nothing changes, how
 * long one change takes until every instance enforces it, how long one that touches all does, and how long a replica
 * takes that is killed. Run it as `npm run bench:fleet`, or with `-- SERVICES INSTANCES_OF_EACH`; needs nats-server. The
 * fleet shares the machine, so that waiting times are upper bounds.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askStatus, askWait, sendCommand } from "../src/cli/mesh/command-client.ts";
import { selfCommand } from "../src/cli/program.ts";
import { directReader } from "../src/nats/buckets.ts";
import { connectBus } from "../src/nats/connection.ts";
import { type Credentials, mintServiceUser } from "../src/nats/credentials.ts";
import { type Directory, openDirectory } from "../src/nats/directory.ts";
import type { NatsBus } from "../src/nats/nats-bus.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../src/nats/subjects.ts";
import { parsePolicy } from "../src/policy/parse.ts";
import { ConfigSource } from "../src/proxy/sidecar/config-source.ts";
import { Heartbeat } from "../src/proxy/sidecar/heartbeat.ts";
import { cpuTimeUs, memory } from "./accounting.ts";
import { percentile } from "./statistics.ts";

const SERVICES_OF_A_NAMESPACE = 50;
const CALLERS_OF_A_SERVICE = 5;
const QUIET_MS = 20_000;
const CHANGES = 50;
const CONNECTING_AT_ONCE = 50;
const WAIT_MS = 60_000;

const [services = 500, instances = 2] = process.argv.slice(2).map(Number);

interface Site {
  readonly directory: Directory;
  readonly url: string;
  readonly bus: NatsBus;
  readonly credentials: Credentials;
}

function show(name: string, text: string): void {
  console.log(`${name.padEnd(54)} ${text}`);
}

const serviceAt = (at: number) => ({
  namespace: `team-${Math.floor((at % services) / SERVICES_OF_A_NAMESPACE)}`,
  name: `service-${at % services}`,
});

/** A service that others call, with two subsets and a share of traffic to either. */
function policyOf(at: number, share: number): string {
  const { namespace, name } = serviceAt(at);
  const metadata = `metadata: { namespace: ${namespace}, name: ${name} }`;
  const callers = Array.from({ length: CALLERS_OF_A_SERVICE }, (_, next) => serviceAt(at + next + 1));
  const from = callers.map((caller) => `${caller.namespace}/${caller.name}`).join(", ");
  return `apiVersion: heddle/v1
kind: Service
${metadata}
spec: { ports: [{ port: 8080, protocol: http }], subsets: { v1: { version: v1 }, v2: { version: v2 } } }
---
apiVersion: heddle/v1
kind: Route
${metadata}
spec:
  service: ${name}
  rules: [{ backends: [{ subset: v1, weight: ${100 - share} }, { subset: v2, weight: ${share} }], timeout: 3s }]
---
apiVersion: heddle/v1
kind: AccessPolicy
${metadata}
spec: { service: ${name}, rules: [{ allow: { from: [${from}], methods: [GET, POST] } }] }
---
`;
}

/** Returns the revision that the last of the changes got, one for each namespace. */
async function apply(site: Site, text: string): Promise<number> {
  const parsed = parsePolicy([{ file: "fleet.yaml", text }]);
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("\n"));
  const documents = parsed.value.map(({ document }) => document);
  let revision = 0;
  for (const [namespace, own] of Map.groupBy(documents, ({ metadata }) =>
    "namespace" in metadata ? metadata.namespace : "_mesh",
  )) {
    const body = { kind: "apply", documents: own } as const;
    const reply = await sendCommand(site, { namespace, body, reason: "bench", dryRun: false });
    if (reply.kind !== "decided") throw new Error(`${namespace}: ${JSON.stringify(reply)}`);
    revision = reply.revision ?? revision;
  }
  return revision;
}

async function untilEnforced(site: Site, revision: number): Promise<void> {
  const reply = await askWait(site, { revision, timeoutMs: WAIT_MS });
  if (!reply.applied) throw new Error(`revision ${revision}: ${JSON.stringify(reply).slice(0, 500)}`);
}

/** One that does all that a sidecar does towards the control plane, but for its certificate. */
async function startInstance(site: Site, at: number, index: number): Promise<void> {
  const { namespace, name: service } = serviceAt(at);
  const credentials = await mintServiceUser(await site.directory.trust(), namespace, service);
  const bus = await connectBus({ url: site.url, credentials, name: service, onError: () => {} });
  let revision = 0;
  const startedAt = new Date().toISOString();
  const heartbeat = new Heartbeat(bus, () => ({
    instance: `i${index}`,
    namespace,
    service,
    state: "ready",
    host: "127.0.0.1",
    port: 15_006,
    labels: { version: index % 2 === 0 ? "v1" : "v2" },
    revision,
    startedAt,
    version: "bench",
  }));
  const source: ConfigSource = new ConfigSource(
    {
      namespace,
      service,
      bus,
      config: directReader(bus, CONFIG_BUCKET),
      endpoints: directReader(bus, ENDPOINT_BUCKET),
      random: Math.random,
      onSnapshot: (snapshot) => {
        revision = snapshot.revision;
        heartbeat.beat();
        // From within the constructor there is no source yet, but no snapshot comes before it returns.
        source.follow(Object.keys(snapshot.upstreams).filter((ref): ref is `${string}/${string}` => ref.includes("/")));
        return true;
      },
      onEndpoints: () => {},
      onConfirmed: () => {},
      onRejected: (what, reason) => console.error(`bench: refused ${what}: ${reason}`),
      onSnapshotRejected: (_, reason) => console.error(`bench: refused a snapshot: ${reason}`),
    },
    0,
  );
}

async function startFleet(site: Site): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  const connect = async (): Promise<void> => {
    while (next < services * instances) {
      const index = next++;
      await startInstance(site, Math.floor(index / instances), index);
    }
  };
  await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connect));
  return performance.now() - startMs;
}

interface Processes {
  readonly nats: number;
  readonly control: number;
}

/** The children of `heddle up`, by what their command lines say. */
async function processesOf(up: number): Promise<Processes> {
  const found: Record<string, number> = {};
  const children = await Bun.file(`/proc/${up}/task/${up}/children`).text();
  for (const pid of children.trim().split(" ").map(Number)) {
    const words = (await Bun.file(`/proc/${pid}/cmdline`).text()).split("\0");
    found[words.includes("control") ? "control" : "nats"] = pid;
  }
  const { nats, control } = found;
  if (nats === undefined || control === undefined) throw new Error("the processes of `heddle up` were not found");
  return { nats, control };
}

async function atRest({ nats, control }: Processes): Promise<void> {
  const pids = { control, nats };
  const before = { control: await cpuTimeUs([control]), nats: await cpuTimeUs([nats]) };
  await Bun.sleep(QUIET_MS);
  for (const name of ["control", "nats"] as const) {
    const share = ((await cpuTimeUs([pids[name]])) - before[name]) / (QUIET_MS * 1_000);
    const { rssKb } = await memory([pids[name]]);
    show(
      `${name}, nothing changing`,
      `${(100 * share).toFixed(1)} % of a core, ${Math.round(rssKb / 1024)} MB resident`,
    );
  }
}

async function changes(site: Site): Promise<void> {
  const decided: number[] = [];
  const enforced: number[] = [];
  for (let count = 0; count < CHANGES; count++) {
    const startMs = performance.now();
    const revision = await apply(site, policyOf((count * 7) % services, 20 + (count % 50)));
    decided.push(performance.now() - startMs);
    await untilEnforced(site, revision);
    enforced.push(performance.now() - startMs);
  }
  for (const [name, times] of Object.entries({
    "in the ledger": decided,
    "enforced by all whom it concerns": enforced,
  })) {
    times.sort((a, b) => a - b);
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)].map((ms) => ms.toFixed(0));
    show(`one change, until ${name}`, `p50 ${p50} ms, p99 ${p99} ms of ${CHANGES}`);
  }
}

async function changeOfAll(site: Site, mtls: string): Promise<void> {
  const startMs = performance.now();
  const text = `apiVersion: heddle/v1\nkind: Mesh\nmetadata: { name: default }\nspec: { trustDomain: mesh.local, mtls: ${mtls}, access: deny }\n`;
  const revision = await apply(site, text);
  await untilEnforced(site, revision);
  show("a change that touches every snapshot, until enforced", `${Math.round(performance.now() - startMs)} ms`);
}

/** Kills the replica, and asks until the one that takes its place knows the whole fleet and answers. */
async function restart(site: Site, { control }: Processes): Promise<void> {
  const startMs = performance.now();
  process.kill(control, "SIGKILL");
  for (;;) {
    const status = await askStatus(site).catch(() => undefined);
    if (status !== undefined && status.instances.length === services * instances) break;
    await Bun.sleep(50);
  }
  show("control killed, until another knows the whole fleet", `${Math.round(performance.now() - startMs)} ms`);
}

async function untilUp(path: string, up: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<Site> {
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  void (async () => {
    for await (const chunk of up.stdout) if (new TextDecoder().decode(chunk).includes("is up")) resolve();
  })();
  await Promise.race([ready, up.exited.then(() => Promise.reject(new Error("`heddle up` ended")))]);
  const directory = await openDirectory(path);
  const url = directory?.context.url;
  if (directory === undefined || url === undefined) throw new Error("`heddle up` left no directory");
  const credentials = await directory.operatorCredentials();
  const bus = await connectBus({ url, credentials, name: "bench", onError: () => {} });
  return { directory, url, bus, credentials };
}

const path = await mkdtemp(join(tmpdir(), "heddle-fleet-"));
const up = Bun.spawn(selfCommand(["up", "--dir", path, "--port", "0", "--control-listen", "127.0.0.1:0"]), {
  stdin: "ignore",
  stdout: "pipe",
  stderr: "inherit",
});
try {
  const site = await untilUp(path, up);
  const processes = await processesOf(up.pid);
  console.log(`${services} services, ${services * instances} instances`);
  const startMs = performance.now();
  const revision = await apply(site, Array.from({ length: services }, (_, at) => policyOf(at, 10)).join(""));
  show(`${3 * services} documents, until in the ledger`, `${Math.round(performance.now() - startMs)} ms`);
  const connectedMs = await startFleet(site);
  await untilEnforced(site, revision);
  show("the whole fleet connecting at once", `${Math.round(connectedMs)} ms`);
  await atRest(processes);
  await changes(site);
  await changeOfAll(site, "permissive");
  await changeOfAll(site, "strict");
  await restart(site, processes);
} finally {
  up.kill("SIGTERM");
  await up.exited;
  await rm(path, { recursive: true, force: true });
}
process.exit(0);
