/** A real mesh, started by `heddle up`, and the real command line: each command a process of its own. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import type { EventLog } from "../../src/events/log.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { mintOperatorUser } from "../../src/nats/credentials.ts";
import { type Directory, openDirectory } from "../../src/nats/directory.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { subjects } from "../../src/nats/subjects.ts";
import type { InstanceStatus } from "../../src/projections/snapshot.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
export const SHOP = fileURLToPath(new URL("../../examples/shop/policy.yaml", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  /** Another operator's credentials, as a path. */
  readonly creds?: string;
}

/** What a command reports of one namespace that it changed. */
export interface ChangeLine {
  readonly namespace: string;
  /** Null where nothing was to be written. */
  readonly revision: number | null;
  readonly lines: readonly string[];
}

/** The command line of one state directory. */
export class CommandLine {
  readonly #env: NodeJS.ProcessEnv;

  /** @param path the state directory */
  constructor(readonly path: string) {
    this.#env = { ...process.env, HEDDLE_DIR: path, NO_COLOR: "1" };
  }

  /** Runs `heddle …` and waits for its end. */
  async heddle(args: readonly string[], { stdin, creds }: RunOptions = {}): Promise<Outcome> {
    const all = [...args, ...(creds === undefined ? [] : ["--creds", creds])];
    const input = stdin === undefined ? "ignore" : new TextEncoder().encode(stdin);
    const child = Bun.spawn([process.execPath, MAIN, ...all], {
      env: this.#env,
      stdin: input,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }

  /** The standard output of a command that has to succeed. */
  done(...args: string[]): Promise<string> {
    return this.#succeed(args);
  }

  /** As `heddle`, for a command that has to succeed and print one JSON document. */
  async json(args: readonly string[], options?: RunOptions): Promise<unknown> {
    return JSON.parse(await this.#succeed([...args, "-o", "json"], options));
  }

  /** What a command that has to succeed says that it changed. */
  async changed(...args: string[]): Promise<readonly ChangeLine[]> {
    return ((await this.json(args)) as { readonly changes: readonly ChangeLine[] }).changes;
  }

  async #succeed(args: readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.heddle(args, options);
    if (code !== 0) throw new Error(`heddle ${args.join(" ")} failed with ${code}: ${stderr}`);
    return stdout;
  }

  /** Starts `heddle …` on a terminal of its own, 100 columns wide and with colours, and leaves it running. */
  onTerminal(args: readonly string[], env: NodeJS.ProcessEnv = {}): TerminalRun {
    return new TerminalRun([process.execPath, MAIN, ...args], { ...this.#env, NO_COLOR: "", TERM: "xterm", ...env });
  }
}

/** A command that a person sits in front of. */
export class TerminalRun {
  #shown = "";
  #changed = Promise.withResolvers<void>();
  readonly #child: Bun.Subprocess;

  constructor(command: string[], env: NodeJS.ProcessEnv) {
    const decoder = new TextDecoder();
    const data = (_: unknown, bytes: Uint8Array): void => {
      this.#shown += decoder.decode(bytes, { stream: true });
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    this.#child = Bun.spawn(command, { env, terminal: { cols: 100, rows: 40, data } });
  }

  /** All that has been written to the terminal so far. */
  get shown(): string {
    return this.#shown;
  }

  /** Resolves when the text stands on the terminal, which the test's own timeout bounds. Rejects when it cannot any more. */
  async sees(text: string): Promise<void> {
    while (!this.#shown.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`ended without showing ${text}: ${this.#shown}`);
      await Promise.race([this.#changed.promise, this.#child.exited]);
    }
  }

  type(text: string): void {
    this.#child.terminal?.write(text);
  }

  /** Resolves with the exit code. */
  async ended(): Promise<number> {
    const code = await this.#child.exited;
    this.#child.terminal?.close();
    return code;
  }
}

export class CliMesh extends CommandLine {
  private constructor(
    private readonly root: string,
    private readonly directory: Directory,
    private readonly bus: NatsBus,
    /** The ledger as control replicas have it, to write histories with. */
    readonly log: EventLog,
    readonly stop: () => Promise<void>,
  ) {
    super(directory.path);
  }

  /** Starts a mesh whose operator is ada, on ports of the system's choice. */
  static async start(): Promise<CliMesh> {
    const root = await mkdtemp(join(tmpdir(), "heddle-cli-"));
    const path = join(root, "state");
    const up = new TerminalRun(
      [
        process.execPath,
        MAIN,
        "up",
        "--dir",
        path,
        "--operator",
        "ada",
        "--port",
        "0",
        "--control-listen",
        "127.0.0.1:0",
      ],
      process.env,
    );
    await up.sees("Ctrl-C");
    const directory = await openDirectory(path);
    const url = directory?.context.url;
    if (directory === undefined || url === undefined) throw new Error(`up left no mesh in ${path}`);
    const credentials = await directory.controlCredentials();
    const bus = await connectBus({ url, credentials, name: "test", onError: () => {} });
    return new CliMesh(root, directory, bus, await openEventLog(bus), async () => {
      await bus.close();
      up.type("\u0003");
      await up.ended();
      await rm(root, { recursive: true, force: true });
    });
  }

  /** Says what a sidecar would say of itself. */
  async heartbeat(status: InstanceStatus): Promise<void> {
    const subject = subjects.status(status.namespace, status.service, status.instance);
    this.bus.publish(subject, new TextEncoder().encode(JSON.stringify(status)));
    await this.bus.flush();
  }

  /** Writes a file for a command to read; returns its path. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.root, name);
    await writeFile(path, text);
    return path;
  }

  /** Writes the shop's documents for a namespace of their own; returns the file's path. */
  async shopIn(namespace: string): Promise<string> {
    const [, ...documents] = (await Bun.file(SHOP).text()).split("\n---\n");
    return this.file(`${namespace}.yaml`, documents.join("\n---\n").replaceAll(/\bshop\b/g, namespace));
  }

  /** Opens a copy of the shop in each namespace; all by one command, since each command is a process. */
  async openShops(namespaces: readonly string[]): Promise<void> {
    const files = await Promise.all(namespaces.map((namespace) => this.shopIn(namespace)));
    await this.done("apply", "--yes", ...files.flatMap((file) => ["-f", file]));
  }

  /** Credentials of an operator who may only read, as a path. */
  async viewer(name: string): Promise<string> {
    const trust = await this.directory.trust();
    return this.directory.saveCredentials(
      name,
      await mintOperatorUser(trust, { name, role: "viewer", namespaces: [] }),
    );
  }
}
