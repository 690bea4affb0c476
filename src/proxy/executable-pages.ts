/**
 * Gives back the pages of the program's own code that only the start needed. The runtime is 100 MB of code, of which a
 * start touches 40 and an idle sidecar a few; until memory runs short, the kernel counts whatever a process has touched
 * as resident. Once told that they are not needed, it keeps the pages in its cache, for every process of the same
 * program, and maps them again on use, some sixteen at a time and without reading the disk.
 */

import { readFile, readlink } from "node:fs/promises";
import { loadLibc } from "./intercept/libc.ts";

export interface Mapping {
  readonly address: number;
  readonly bytes: number;
}

/** `madvise(2)`; Linux has this number on every architecture. */
const MADV_DONTNEED = 4;

/** Of private mappings that cannot be written to: address, end and file. */
const READ_ONLY = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p [0-9a-f]+ \S+ \d+ +(\/.*)$/;

/**
 * The mappings of `program` that hold what its file does, by `/proc/self/smaps` (proc(5)). One that can be read only
 * now may have been written to before, as relocations are: its pages, which are no longer those of the file
 * ("anonymous"), would be lost, so that it is left alone.
 */
export function fileMappings(smaps: string, program: string): Mapping[] {
  const mappings: Mapping[] = [];
  let last: Mapping | undefined;
  for (const line of smaps.split("\n")) {
    const [, start = "", end = "", file] = READ_ONLY.exec(line) ?? [];
    if (file !== undefined) {
      const address = Number.parseInt(start, 16);
      last = file === program ? { address, bytes: Number.parseInt(end, 16) - address } : undefined;
    } else if (last !== undefined && /^Anonymous: +0 kB$/.test(line)) {
      mappings.push(last);
      last = undefined;
    } else if (!/^\w+:/.test(line)) last = undefined;
  }
  return mappings;
}

/** Has no effect, and no fault, where the kernel does not tell (no Linux, no `/proc`) or the C library is not found. */
export async function releaseExecutablePages(): Promise<void> {
  try {
    const smaps = await readFile("/proc/self/smaps", "latin1");
    const mappings = fileMappings(smaps, await readlink("/proc/self/exe"));
    const signature = { madvise: { args: ["usize", "usize", "i32"], returns: "i32" } } as const;
    const libc = await loadLibc(({ dlopen }, library) => dlopen(library, signature));
    for (const { address, bytes } of mappings) libc.symbols.madvise(address, bytes, MADV_DONTNEED);
    libc.close();
  } catch {
    // A failure costs memory only: nothing relies on it.
  }
}
