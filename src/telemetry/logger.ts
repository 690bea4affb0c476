/**
 * The log of the process itself: JSON lines on the standard error, as pino writes them, so that its tools read them.
 * The control plane and the CLI use pino. It costs 12 MB of memory, half of what a bare sidecar has, so that the
 * sidecar, which writes a handful of lines in its life, writes the same lines without it.
 */

import { writeSync } from "node:fs";
import { hostname } from "node:os";

/** Pino's levels and their numbers. */
const LOG_LEVELS = { debug: 20, info: 30, warn: 40, error: 50, silent: Number.POSITIVE_INFINITY } as const;

export type LogLevel = keyof typeof LOG_LEVELS;

/** Facts beside the message; an `Error` belongs under `err`. Never secrets, never unbounded. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** The level that `HEDDLE_LOG` names; `info` where it names none. */
export function logLevelOf(text: string | undefined): LogLevel {
  return text !== undefined && isLogLevel(text) ? text : "info";
}

function isLogLevel(text: string): text is LogLevel {
  return Object.hasOwn(LOG_LEVELS, text);
}

/** A logger on pino, loaded now. `descriptor`: 2, the standard error, unless a test reads along. */
export async function openLogger(level: LogLevel, descriptor = 2): Promise<Logger> {
  const { default: pino } = await import("pino");
  const logger: Logger = pino({ level }, pino.destination({ dest: descriptor, sync: true }));
  return logger;
}

/** The same lines without pino. */
export function leanLogger(level: LogLevel, descriptor = 2): Logger {
  const base = { pid: process.pid, hostname: hostname() };
  const writer =
    (name: Exclude<LogLevel, "silent">): Logger["info"] =>
    (fields, message) => {
      const own = LOG_LEVELS[name];
      if (own < LOG_LEVELS[level]) return;
      const line = { level: own, time: Date.now(), ...base, ...fields, msg: message };
      writeLine(descriptor, `${JSON.stringify(line, errorsAsObjects)}\n`);
    };
  return { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") };
}

/** An `Error` has no enumerable fields of its own: JSON would show `{}`. */
function errorsAsObjects(_: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return { type: value.constructor.name, message: value.message, stack: value.stack };
}

function writeLine(descriptor: number, line: string): void {
  try {
    writeSync(descriptor, line);
  } catch {
    // A full or closed standard error must not take the traffic down with it.
  }
}
