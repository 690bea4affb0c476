/** The shop on its mesh, as processes of this machine: what runs, where it listens, and how to look at it. */

import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { loadCredentials, type WorkloadCredentials } from "../../src/ca/workload/credentials.ts";
import { workloadIdentity } from "../../src/ca/workload/spiffe-id.ts";
import { withOperator } from "../../src/cli/mesh/context.ts";
import { selfCommand } from "../../src/cli/program.ts";
import { type ChainReport, verifyChain } from "../../src/events/chain.ts";
import { subjects } from "../../src/nats/subjects.ts";
import { type Instance, planInstances } from "./instances.ts";
import { Processes } from "./processes.ts";
import { Shell } from "./shell.ts";
import { until } from "./until.ts";

/** Of the checkout. */
export const ROOT = join(import.meta.dir, "../..");
export const TRUST_DOMAIN = "mesh.local";

/** A replica that is there answers within a few. */
const ANSWER_TIMEOUT_MS = 500;

/** The process that runs nats-server and the control replica. */
const UP = "up";

/** Just what the demo looks at of `/config_dump` and `/certs`. */
const configDump = z.object({ status: z.object({ revision: z.int() }) });
const certificates = z.object({ spiffeId: z.string(), certificateChain: z.string() });

/** A line of control's log. */
const controlReady = z.object({ pid: z.int() });

/** The ledger as read from its beginning. */
export interface LedgerView {
  readonly lastRevision: number;
  readonly chain: ChainReport;
}

/** What a sidecar says of itself. */
export interface SidecarView {
  readonly revision: number;
  readonly spiffeId: string;
  /** PEM. */
  readonly certificateChain: string;
}

export class Shop {
  readonly processes: Processes;
  readonly shell: Shell;
  readonly #env: Record<string, string>;

  private constructor(
    /** All that the demo writes is below it; the mesh's own directory is `mesh`. */
    readonly directory: string,
    readonly instances: readonly Instance[],
    natsServer: string,
  ) {
    this.#env = {
      PATH: `${join(ROOT, "bin")}:${process.env.PATH ?? ""}`,
      HOME: process.env.HOME ?? directory,
      HEDDLE_DIR: this.meshDirectory,
      HEDDLE_NATS_SERVER: natsServer,
      NO_COLOR: "1",
    };
    this.processes = new Processes(join(directory, "logs"));
    this.shell = new Shell(this.#env, ROOT);
  }

  /** Plans everything and starts nothing. `natsServer`: path of the program. */
  static async plan(directory: string, natsServer: string): Promise<Shop> {
    return new Shop(directory, await planInstances(), natsServer);
  }

  get meshDirectory(): string {
    return join(this.directory, "mesh");
  }

  instance(name: string): Instance {
    const found = this.instances.find((instance) => instance.name === name);
    if (found === undefined) throw new Error(`no instance is called ${name}`);
    return found;
  }

  // Processes

  /** `heddle up` with these arguments. */
  startMesh(args: readonly string[]): void {
    this.processes.start({ name: UP, command: selfCommand(["up", ...args]), env: this.#env });
  }

  /** Resolves when a control replica answers an operator. Asks briefly and often: not much is waited in vain. */
  async meshReady(): Promise<void> {
    await until("control to answer", async () => {
      await this.processes.requireRunning(UP);
      await withOperator({ dir: this.meshDirectory }, async ({ bus, credentials }) => {
        const question = new TextEncoder().encode("{}");
        await bus.request(subjects.query(credentials.publicKey, "status"), question, { timeoutMs: ANSWER_TIMEOUT_MS });
      });
    });
  }

  /** The service itself, which knows of no mesh but the usual variable that names a proxy. */
  startService({ name, program, version, ports }: Instance): void {
    const env = {
      PATH: this.#env.PATH ?? "",
      PORT: String(ports.service),
      VERSION: version,
      http_proxy: `http://127.0.0.1:${ports.outbound}`,
    };
    this.processes.start({ name, command: [process.execPath, join(ROOT, "examples/shop", program)], env });
  }

  /** The proxy beside it, with a state directory and an access log of its own. */
  startSidecar(instance: Instance): void {
    const { name, service, version, ports } = instance;
    const address = (port: number): string => `127.0.0.1:${port}`;
    const args = [
      ...["sidecar", "--service", `shop/${service}`, "--instance", name, "--label", `version=${version}`],
      ...["--app", address(ports.service), "--inbound", address(ports.inbound), "--outbound", address(ports.outbound)],
      ...["--admin", address(ports.admin), "--health", "off", "--metrics", "off"],
      ...["--access-log", join(this.directory, "logs", `${name}.access.log`)],
    ];
    this.processes.start({ name: sidecarOf(name), command: selfCommand(args), env: this.#env });
  }

  /** Resolves when the service answers and its sidecar is ready for traffic. */
  async ready({ name, ports }: Instance): Promise<void> {
    await this.#healthy(name, `http://127.0.0.1:${ports.service}/healthz`);
    await this.#healthy(sidecarOf(name), `http://127.0.0.1:${ports.admin}/healthz/ready`);
  }

  async #healthy(process: string, url: string): Promise<void> {
    await until(`${process} to be ready`, async () => {
      await this.processes.requireRunning(process);
      const response = await fetch(url, { proxy: "" });
      if (!response.ok) throw new Error((await response.text()).trim());
    });
  }

  /** Ends all of it; the mesh last, so that sidecars can take their leave. */
  async stop(): Promise<void> {
    await this.processes.stopAll(UP);
  }

  /** Deletes what the demo wrote. */
  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  /** nats-server's process id. Rejects while there is none that accepts connections. */
  async natsPid(): Promise<number> {
    const directory = join(this.meshDirectory, "nats");
    const pid = (await readFile(join(directory, "lock"), "utf8")).split(" ", 1)[0];
    const files = await readdir(directory);
    // The server writes this file when it listens; until then the lock may be its starter's.
    if (!files.some((name) => name.endsWith(`_${pid}.ports`))) throw new Error("nats-server is not listening yet");
    return Number(pid);
  }

  /** The control replica's, from the last line of its log that says that it is ready. */
  async controlPid(): Promise<number> {
    const lines = (await readFile(join(this.meshDirectory, "control.log"), "utf8")).trim().split("\n").reverse();
    const ready = lines.find((line) => line.includes("control replica ready"));
    if (ready === undefined) throw new Error("no control replica is ready yet");
    return controlReady.parse(JSON.parse(ready)).pid;
  }

  // What can be seen from outside

  /** Reads all of the ledger and checks its chain, and that the heads noted earlier are still in it. */
  readLedger(heads?: ReadonlyMap<string, string>): Promise<LedgerView> {
    return withOperator({ dir: this.meshDirectory }, async ({ ledger }) => {
      const chain = await verifyChain(ledger.read(), heads === undefined ? {} : { heads });
      return { lastRevision: await ledger.lastRevision(), chain };
    });
  }

  /** What a sidecar enforces and who it is, from its admin port. */
  async sidecar({ ports }: Instance): Promise<SidecarView> {
    const admin = `http://127.0.0.1:${ports.admin}`;
    const [dump, certs] = await Promise.all(
      ["/config_dump", "/certs"].map(async (path) => (await fetch(admin + path, { proxy: "" })).json()),
    );
    return { revision: configDump.parse(dump).status.revision, ...certificates.parse(certs) };
  }

  /** Sum of a sidecar's counter over all labels that contain `label`. */
  async metric({ ports }: Instance, name: string, label = ""): Promise<number> {
    const page = await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`, { proxy: "" })).text();
    const lines = page.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(label));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** Key and certificate of a workload, from where its sidecar keeps them. */
  async credentials({ name, service }: Instance): Promise<WorkloadCredentials> {
    const identity = workloadIdentity(TRUST_DOMAIN, "shop", service);
    const directory = join(this.meshDirectory, "sidecars", `shop.${service}.${name}`);
    const loaded = await loadCredentials(directory, identity, Date.now());
    if (!loaded.ok) throw new Error(loaded.error);
    if (loaded.value === undefined) throw new Error(`${directory} holds no credentials`);
    return loaded.value;
  }
}

/** The process beside an instance of a service. */
export function sidecarOf(instance: string): string {
  return `${instance}-sidecar`;
}
