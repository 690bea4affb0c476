/**
 * A file that says which process owns a directory. It names the process by its id and the time it started, so that a
 * lock left by a crash is told from a live one even after the id was given to somebody else.
 */

import { link, readFile, rm } from "node:fs/promises";
import { writePrivateFile } from "./private-file.ts";

/** The lock is held by a live process. */
export class LockHeld extends Error {
  override readonly name = "LockHeld";
  constructor(
    readonly path: string,
    /** Whom to stop: the process that took the lock; where it has died, the one that it had handed the lock to. */
    readonly pid: number,
    /** The process that took the lock has died, and nobody looks after the one that it had handed it to. */
    readonly isOrphan: boolean,
  ) {
    super(`${path} is held by process ${pid}`);
  }
}

export interface ProcessLock {
  /** Hands the lock on to another process, such as the server that this one has started and looks after. */
  handTo(pid: number): Promise<void>;
  release(): Promise<void>;
}

/** Takes the lock for this process. Rejects with `LockHeld` while a live process has it. */
export async function takeLock(path: string): Promise<ProcessLock> {
  const draft = `${path}.${process.pid}`;
  await writePrivateFile(draft, await describeProcess(process.pid));
  try {
    if (!(await tryLink(draft, path))) {
      const held = await heldBy(path);
      if (held !== undefined) throw held;
      await rm(path, { force: true });
      // Whoever links first after a crash has it; the other one is told so.
      if (!(await tryLink(draft, path))) throw (await heldBy(path)) ?? new LockHeld(path, 0, false);
    }
  } finally {
    await rm(draft, { force: true });
  }
  return {
    handTo: async (pid) => writePrivateFile(path, (await describeProcess(pid)) + (await describeProcess(process.pid))),
    release: () => rm(path, { force: true }),
  };
}

/** `link` fails where the name exists, and shows the whole content at once where it does not. */
async function tryLink(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Reads the lock: its first line names the holder, a second one the process that handed it on. */
async function heldBy(path: string): Promise<LockHeld | undefined> {
  const [holderLine = "", takerLine = ""] = (await readFile(path, "utf8").catch(() => "")).split("\n");
  const holder = await liveProcess(holderLine);
  if (holder === undefined) return undefined;
  const taker = await liveProcess(takerLine);
  return new LockHeld(path, taker ?? holder, takerLine !== "" && taker === undefined);
}

async function liveProcess(line: string): Promise<number | undefined> {
  const [id, started] = line.trim().split(" ", 2);
  const pid = Number(id);
  return started !== undefined && started === (await startTime(pid)) ? pid : undefined;
}

async function describeProcess(pid: number): Promise<string> {
  return `${pid} ${(await startTime(pid)) ?? "ended"}\n`;
}

/** When a process started, in whatever form the system tells; undefined when there is no such process. */
async function startTime(pid: number): Promise<string | undefined> {
  if (process.platform === "linux") {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    // proc(5): the name, in parentheses, may hold spaces; after it come state (3) … starttime (22). Z: only a zombie.
    const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields?.[0] === "Z" ? undefined : fields?.[19];
  }
  const child = Bun.spawn(["ps", "-o", "lstart=", "-p", String(pid)], { stdout: "pipe", stderr: "ignore" });
  const text = (await child.stdout.text()).trim();
  return text === "" ? undefined : text.replaceAll(/\s+/g, "-");
}
