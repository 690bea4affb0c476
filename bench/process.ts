/** Processes of a measurement: pinned, waited for, ended. */

import { createServer } from "node:net";
import { HOST } from "./host.ts";

/** The proxies have this core to themselves; the load, the application and all else share the other. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 50;
const STOP_TIMEOUT_MS = 5_000;

export interface PinnedProcess {
  readonly pid: number;
}

/** Starts a program on one core. Its complaints pass through, and so does that it ended without being asked. */
export function spawnPinned(
  core: number,
  command: readonly string[],
  defer: (stop: () => Promise<unknown>) => void,
  env: NodeJS.ProcessEnv = {},
): PinnedProcess {
  const child = Bun.spawn(["taskset", "-c", String(core), ...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
    // Ctrl-C is for us: what was started ends in order.
    detached: true,
  });
  let stopping = false;
  void child.exited.then((code) => {
    if (!stopping) console.error(`bench: ${command.join(" ")} ended by itself: ${child.signalCode ?? code}`);
  });
  defer(async () => {
    stopping = true;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await child.exited;
    clearTimeout(timer);
  });
  return { pid: child.pid };
}

/** Moves this process, and with it all that it starts from now on, to one core. */
export async function pinSelf(core: number): Promise<void> {
  await output(["taskset", "--all-tasks", "--cpu-list", "--pid", String(core), String(process.pid)]);
}

/** Runs a program to its end; rejects with its complaint where it fails. */
export async function output(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, complaint, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command[0]} failed (${code}): ${complaint.trim() || out.trim()}`);
  // Some programs tell their version on stderr.
  return out === "" ? complaint : out;
}

/** Resolves when `path` on the port is answered with 200; rejects after a while with what came instead. */
export async function untilServing(port: number, path: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const problem = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: HOST } }).then(
      async (response) => (response.ok ? undefined : `${response.status} ${await response.text()}`),
      (error: unknown) => String(error),
    );
    if (problem === undefined) return;
    if (performance.now() > deadline) throw new Error(`port ${port} does not serve ${path}: ${problem}`);
    await Bun.sleep(READY_POLL_MS);
  }
}

/** A port that was free a moment ago, for programs that cannot choose one themselves and say which. */
export function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const probe = createServer();
  probe.on("error", reject);
  probe.listen(0, "127.0.0.1", () => {
    const address = probe.address();
    probe.close(() => {
      if (address === null || typeof address === "string") reject(new Error("no port was given"));
      else resolve(address.port);
    });
  });
  return promise;
}
