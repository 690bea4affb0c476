import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { fileMappings, releaseExecutablePages } from "../../src/proxy/executable-pages.ts";

const PROGRAM = "/opt/heddle/bin/heddle";

/** One mapping as the kernel shows it. */
const shown = (range: string, permissions: string, file: string, anonymousKb: number): string =>
  `${range} ${permissions} 00000000 fe:00 5843086                    ${file}
Size:              24804 kB
Rss:                7204 kB
Anonymous:          ${String(anonymousKb).padStart(4)} kB
VmFlags: rd mr mw me
`;

test("only what cannot be written to, and never was, is the file's", () => {
  const smaps = [
    shown("00200000-01a39000", "r--p", PROGRAM, 0),
    shown("01a40000-0684a000", "r-xp", PROGRAM, 0),
    shown("0684a000-06900000", "r--p", PROGRAM, 712),
    shown("06900000-06915000", "rw-p", PROGRAM, 0),
    shown("06915000-06a00000", "r--s", PROGRAM, 0),
    shown("7f0000000000-7f0000100000", "r-xp", "/usr/lib/libc.so.6", 0),
    shown("7f0000200000-7f0000300000", "r--p", "", 0),
  ].join("");
  expect(fileMappings(smaps, PROGRAM)).toEqual([
    { address: 0x200000, bytes: 0x1839000 },
    { address: 0x1a40000, bytes: 0x4e0a000 },
  ]);
});

test("a count is that of the mapping that it stands under", () => {
  const smaps = `00200000-01a39000 r--p 00000000 fe:00 5843086    ${PROGRAM}\n${shown("01a40000-0684a000", "rw-p", PROGRAM, 0)}`;
  expect(fileMappings(smaps, PROGRAM)).toEqual([]);
});

const { platform } = process;

test.skipIf(platform !== "linux")("pages that are not in use leave this process, which goes on", async () => {
  const program = readlinkSync("/proc/self/exe");
  const residentKb = (): number => {
    const smaps = readFileSync("/proc/self/smaps", "latin1");
    const blocks = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter((block) => block.split("\n")[0]?.endsWith(program));
    return blocks.reduce((sum, block) => sum + Number(/^Rss: +(\d+)/m.exec(block)?.[1] ?? 0), 0);
  };
  const before = residentKb();
  await releaseExecutablePages();
  expect(residentKb()).toBeLessThan(before / 2);
});
