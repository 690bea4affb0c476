/** The bounds of the data plane on the command line: `--limit head-timeout=10s`, `HEDDLE_LIMITS`, `--limits`. */

import { formatDuration, parseDuration } from "../../policy/duration.ts";
import { LIMIT_NAMES, LIMITS, type LimitName, type Limits, limitOption } from "../../proxy/limits.ts";
import { UsageError } from "../failure.ts";

const BYTE_UNITS = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
] as const;

/** A value as it is written on the command line. */
export function formatLimit(name: LimitName, value: number): string {
  if (name.endsWith("Ms")) return formatDuration(value);
  if (!name.includes("Bytes")) return String(value);
  const unit = BYTE_UNITS.find(([, bytes]) => value >= bytes && value % bytes === 0);
  return unit === undefined ? String(value) : `${value / unit[1]}${unit[0]}`;
}

function parseLimit(name: LimitName, text: string): number | undefined {
  if (name.endsWith("Ms")) return parseDuration(text);
  const parts = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(text);
  if (parts === null) return undefined;
  const unit = BYTE_UNITS.find(([suffix]) => suffix === parts[2]);
  if (unit !== undefined && !name.includes("Bytes")) return undefined;
  return Number(parts[1]) * (unit?.[1] ?? 1);
}

const BY_OPTION: ReadonlyMap<string, LimitName> = new Map(LIMIT_NAMES.map((name) => [limitOption(name), name]));

/**
 * What the environment says, and over it the command line.
 * @param environment of `HEDDLE_LIMITS`: several `NAME=VALUE`, with spaces or commas between them.
 * @throws UsageError naming the limit, and what it may be
 */
export function parseLimits(options: readonly string[], environment = ""): Partial<Limits> {
  const fromEnvironment = environment.split(/[\s,]+/).filter((text) => text !== "");
  return { ...parseAll(fromEnvironment, "HEDDLE_LIMITS"), ...parseAll(options, "--limit") };
}

function parseAll(texts: readonly string[], source: string): Partial<Limits> {
  const limits: Partial<Record<LimitName, number>> = {};
  for (const text of texts) {
    const [option = "", value] = text.split("=", 2);
    const name = BY_OPTION.get(option);
    if (name === undefined) throw new UsageError(`${source}: there is no limit '${option}'; --limits lists them`);
    if (limits[name] !== undefined) throw new UsageError(`${source}: ${option} is given twice`);
    const { least, most } = LIMITS[name];
    const parsed = parseLimit(name, value ?? "");
    if (parsed === undefined || parsed < least || parsed > most) {
      const range = `from ${formatLimit(name, least)} to ${formatLimit(name, most)}`;
      throw new UsageError(`${source}: ${option}: write a value ${range}, such as ${option}=${exampleOf(name)}`);
    }
    limits[name] = parsed;
  }
  return limits;
}

function exampleOf(name: LimitName): string {
  return formatLimit(name, LIMITS[name].value);
}

/** Every limit with its default, what it bounds, and what happens when it is met. */
export function describeLimits(): string {
  const width = Math.max(...LIMIT_NAMES.map((name) => limitOption(name).length));
  const lines = LIMIT_NAMES.map((name) => {
    const { value, what, hit } = LIMITS[name];
    return `${limitOption(name).padEnd(width)}  ${formatLimit(name, value).padEnd(7)}  ${what}\n${" ".repeat(width + 11)}Met: ${hit}.`;
  });
  return `${lines.join("\n")}\n`;
}
