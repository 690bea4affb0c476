/** A control replica in a process of its own, so that it can die, be killed and come back without what started it. */

import { closeSync, openSync } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { selfCommand } from "../program.ts";
import { type ReadyMessage, readyMessage } from "./readiness.ts";
import type { SupervisedChild } from "./supervisor.ts";

/** The certificate authority is made and the ledger folded meanwhile. */
const READY_TIMEOUT_MS = 60_000;
/** From SIGTERM to SIGKILL. */
const STOP_TIMEOUT_MS = 10_000;
/** A log of this size is put aside when a replica is started; one earlier log is kept. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** Of a log that is shown when the replica does not start. */
const TAIL_BYTES = 2_048;

export interface ControlChildOptions {
  /** Arguments of `heddle control`. */
  readonly args: readonly string[];
  /** What it writes goes to the end of this file. */
  readonly logPath: string;
}

export interface ControlChild extends SupervisedChild {
  readonly url: string;
}

/** Starts `heddle control`; resolves when it answers, rejects with the end of its log when it does not. */
export async function startControlChild({ args, logPath }: ControlChildOptions): Promise<ControlChild> {
  await rotate(logPath);
  const readiness = Promise.withResolvers<ReadyMessage>();
  const log = openSync(logPath, "a", 0o600);
  const child = Bun.spawn(selfCommand(["control", ...args]), {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    ipc: (message) => {
      const parsed = readyMessage.safeParse(message);
      if (parsed.success) readiness.resolve(parsed.data);
    },
    // Its own process group: Ctrl-C is for us, and we stop it before the server that it needs.
    detached: true,
  });
  closeSync(log);
  const exited = child.exited.then(() =>
    child.signalCode === null ? `exit code ${child.exitCode}` : `signal ${child.signalCode}`,
  );
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  };
  const timer = setTimeout(() => readiness.reject(new Error("it did not get ready")), READY_TIMEOUT_MS);
  exited.then((ending) => readiness.reject(new Error(ending)));
  try {
    const { url } = await readiness.promise;
    return { pid: child.pid, url, exited, stop };
  } catch (cause) {
    await stop();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${reason}\n${await tail(logPath)}  (more in ${logPath})`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

async function rotate(path: string): Promise<void> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  if (size > LOG_BYTES_MAX) await rename(path, `${path}.1`);
}

/** The last lines of a log, indented. */
async function tail(path: string): Promise<string> {
  const file = Bun.file(path);
  const text = await file.slice(Math.max(0, file.size - TAIL_BYTES)).text();
  const lines = text.trim().split("\n").slice(-3);
  return lines.map((line) => `  ${line}\n`).join("");
}
