/** A real mesh (NATS and a control replica) and the real command line, each command a process of its own. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ulid } from "ulid";
import { FileCustody } from "../../src/ca/custody.ts";
import { type ControlReplica, startControl } from "../../src/control/replica.ts";
import { openEventLog } from "../../src/events/jetstream-log.ts";
import type { EventLog } from "../../src/events/log.ts";
import { leanLogger } from "../../src/telemetry/logger.ts";
import { startTestNats } from "../support/nats.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
export const SHOP = fileURLToPath(new URL("../../examples/shop/policy.yaml", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  /** Another operator's credentials. */
  readonly creds?: string;
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

  /** Resolves when the text stands on the terminal; the test's own timeout bounds the wait. */
  async sees(text: string): Promise<void> {
    while (!this.#shown.includes(text)) await this.#changed.promise;
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

export interface CliMesh {
  /** The ledger as control replicas have it, to write histories with. */
  readonly log: EventLog;
  /** Runs `heddle …` and waits for its end. */
  heddle(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** As `heddle`, for a command that has to succeed and print one JSON document. */
  json(args: readonly string[], options?: RunOptions): Promise<unknown>;
  /** Starts `heddle …` on a terminal of its own, 100 columns wide and with colours, and leaves it running. */
  onTerminal(args: readonly string[]): TerminalRun;
  /** Writes a file for a command to read; returns its path. */
  file(name: string, text: string): Promise<string>;
  /** A viewer's credentials, as a path. */
  viewer(name: string): Promise<string>;
  stopControl(): Promise<void>;
  startControl(): Promise<void>;
  stop(): Promise<void>;
}

export async function startCliMesh(): Promise<CliMesh> {
  const nats = await startTestNats();
  const { bus } = await nats.connectControl();
  const files = await mkdtemp(join(tmpdir(), "heddle-cli-"));
  await nats.directory.rememberUrl(nats.url);
  const operator = await nats.directory.operatorCredentials();
  const control = (): Promise<ControlReplica> =>
    startControl({
      bus,
      custody: new FileCustody(nats.directory.caPath),
      trustDomain: "mesh.local",
      operator: { name: operator.name, publicKey: operator.publicKey },
      listen: { hostname: "127.0.0.1", port: 0 },
      now: Date.now,
      random: Math.random,
      newId: ulid,
      logger: leanLogger("error"),
    });
  let replica: ControlReplica | undefined = await control();
  const env = { ...process.env, HEDDLE_DIR: nats.directory.path, NO_COLOR: "1" };

  const heddle = async (args: readonly string[], { stdin, creds }: RunOptions = {}): Promise<Outcome> => {
    const all = [...args, ...(creds === undefined ? [] : ["--creds", creds])];
    const input = stdin === undefined ? "ignore" : new TextEncoder().encode(stdin);
    const child = Bun.spawn([process.execPath, MAIN, ...all], { env, stdin: input, stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  };
  const stopControl = async (): Promise<void> => {
    await replica?.stop();
    replica = undefined;
  };
  return {
    log: await openEventLog(bus),
    heddle,
    json: async (args, options) => {
      const { code, stdout, stderr } = await heddle([...args, "-o", "json"], options);
      if (code !== 0) throw new Error(`heddle ${args.join(" ")} failed with ${code}: ${stderr}`);
      return JSON.parse(stdout);
    },
    onTerminal: (args) => new TerminalRun([process.execPath, MAIN, ...args], { ...env, NO_COLOR: "", TERM: "xterm" }),
    file: async (name, text) => {
      const path = join(files, name);
      await writeFile(path, text);
      return path;
    },
    viewer: async (name) => {
      const credentials = await nats.mintOperator({ name, role: "viewer", namespaces: [] });
      return nats.directory.saveCredentials(name, credentials);
    },
    stopControl,
    startControl: async () => {
      replica = await control();
    },
    stop: async () => {
      await stopControl();
      await nats.stop();
      await rm(files, { recursive: true, force: true });
    },
  };
}
