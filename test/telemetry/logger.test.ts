import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, type LogLevel, leanLogger, logLevelOf, openLogger } from "../../src/telemetry/logger.ts";

/** What a logger wrote, as JSON values, without what differs from run to run. */
async function linesOf(
  open: (level: LogLevel, descriptor: number) => Logger | Promise<Logger>,
  level: LogLevel,
  use: (logger: Logger) => void,
): Promise<unknown[]> {
  const directory = await mkdtemp(join(tmpdir(), "logger-"));
  const path = join(directory, "log");
  const descriptor = openSync(path, "w");
  try {
    const before = Date.now();
    use(await open(level, descriptor));
    const lines = (await readFile(path, "utf8")).split("\n").slice(0, -1);
    return lines.map((line) => {
      const { time, ...rest }: { time: number } = JSON.parse(line);
      expect(time).toBeGreaterThanOrEqual(before);
      return rest;
    });
  } finally {
    closeSync(descriptor);
    await rm(directory, { recursive: true });
  }
}

const broken = new TypeError("broken");

const use = (logger: Logger) => {
  logger.debug({ a: 1 }, "debugging");
  logger.info({ revision: 42, text: 'quote " and \n line' }, "applied");
  logger.warn({}, "careful");
  logger.error({ err: broken }, "failed");
};

const implementations = [
  ["pino", openLogger],
  ["lean", leanLogger],
] as const;

describe.each(implementations)("%s logger", (_, open) => {
  test("writes pino's lines, from its level upwards", async () => {
    const lines = await linesOf(open, "info", use);
    expect(lines).toMatchObject([
      { level: 30, pid: process.pid, revision: 42, text: 'quote " and \n line', msg: "applied" },
      { level: 40, pid: process.pid, msg: "careful" },
      { level: 50, err: { type: "TypeError", message: "broken" }, msg: "failed" },
    ]);
  });

  test.each([
    ["debug", 4],
    ["warn", 2],
    ["silent", 0],
  ] as const)("at level %s it writes %d lines", async (level, count) => {
    expect(await linesOf(open, level, use)).toHaveLength(count);
  });
});

test("both write the very same fields", async () => {
  const [pino, lean] = [await linesOf(openLogger, "debug", use), await linesOf(leanLogger, "debug", use)];
  expect(lean).toEqual(pino);
});

test.each([
  ["debug", "debug"],
  ["silent", "silent"],
  ["constructor", "info"],
  ["loud", "info"],
  [undefined, "info"],
] as const)("HEDDLE_LOG=%s means %s", (text, level) => {
  expect(logLevelOf(text)).toBe(level);
});
