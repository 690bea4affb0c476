/** What processes cost, as Linux accounts for it: CPU time from `stat`, memory from `smaps_rollup` (proc(5)). */

import { readdir, readFile } from "node:fs/promises";

/** Microseconds per clock tick: USER_HZ is 100 on every Linux that Bun runs on. */
const TICK_US = 10_000;

export interface Memory {
  /** Resident, shared pages counted in full for every process. */
  readonly rssKb: number;
  /** Resident, shared pages divided among those who share them. */
  readonly pssKb: number;
  /** Resident, shared with nobody: what one more process of the kind costs. */
  readonly privateKb: number;
}

/** User and system time of process trees so far, in microseconds, in steps of `TICK_US`. */
export async function cpuTimeUs(roots: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of await processTrees(roots)) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, which may hold anything. utime and stime are 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_US;
}

/** Memory of process trees at this moment. */
export async function memory(roots: readonly number[]): Promise<Memory> {
  const total = { rssKb: 0, pssKb: 0, privateKb: 0 };
  for (const pid of await processTrees(roots)) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? Number.NaN);
    total.rssKb += field("Rss");
    total.pssKb += field("Pss");
    total.privateKb += field("Private_Clean") + field("Private_Dirty");
  }
  return total;
}

async function processTrees(roots: readonly number[]): Promise<number[]> {
  const found: number[] = [];
  const open = [...roots];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    found.push(pid);
    for (const task of await readdir(`/proc/${pid}/task`)) {
      const children = await readFile(`/proc/${pid}/task/${task}/children`, "utf8");
      open.push(...children.trim().split(" ").filter(Boolean).map(Number));
    }
  }
  return found;
}
