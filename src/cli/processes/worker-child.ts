/** A worker of a sidecar as a child process, told what to do over the channel between the two. */

import type { WorkerProcess } from "../../proxy/sidecar/workers/worker-link.ts";
import { selfCommand } from "../program.ts";

/** From being told to close to SIGKILL. */
const STOP_TIMEOUT_MS = 5_000;

/** @param args those of the sidecar itself, which say the same to its workers. */
export function spawnWorker(args: readonly string[], onMessage: (message: unknown) => void): WorkerProcess {
  const child = Bun.spawn(selfCommand(["sidecar-worker", ...args]), {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    ipc: onMessage,
    serialization: "json",
  });
  let ended = false;
  const exited = child.exited.then(() => {
    ended = true;
    return child.signalCode === null ? `exit code ${child.exitCode}` : `signal ${child.signalCode}`;
  });
  const send: WorkerProcess["send"] = (order) => {
    try {
      if (!ended) child.send(order);
    } catch {
      // It ended a moment ago, which `exited` is about to say.
    }
  };
  return {
    pid: child.pid,
    exited,
    send,
    async stop() {
      send({ kind: "close" });
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
