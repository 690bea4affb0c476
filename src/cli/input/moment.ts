/** Points in time as people write and read them at a command line. */

import { parseDuration } from "../../policy/duration.ts";
import { err, ok, type Result } from "../../policy/result.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** One end of a stretch of history. */
export type Moment =
  | { readonly kind: "revision"; readonly revision: number }
  /** Milliseconds since the epoch. */
  | { readonly kind: "time"; readonly timeMs: number }
  /** So many changes before the last one. */
  | { readonly kind: "head"; readonly back: number };

/** A date, or a date and a time with its offset (RFC 3339 §5.6); a date alone is midnight, UTC. */
const RFC_3339 = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:\d{2}))?$/;
/** A time that is one of every time zone. */
const ZONELESS = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?$/;
const REVISION = /^\d{1,15}$/;
/** `head`, and `head~2` for the second one before it. */
const HEAD = /^head(?:~(\d{1,15})?)?$/i;
const DAYS = /^(\d{1,5})d(.*)$/;

/** Reads `90m` or `2d` (so long ago), `2026-03-01T12:00:00Z`, `2026-03-01`, a revision such as `41`, or `head~2`. */
export function parseMoment(text: string, nowMs: number): Result<Moment, string> {
  if (REVISION.test(text)) return ok({ kind: "revision", revision: Number(text) });
  const head = HEAD.exec(text);
  if (head !== null) return ok({ kind: "head", back: Number(head[1] ?? (text.endsWith("~") ? 1 : 0)) });
  const agoMs = parseLongDuration(text);
  if (agoMs !== undefined) return ok({ kind: "time", timeMs: nowMs - agoMs });
  const timeMs = RFC_3339.test(text) ? Date.parse(text.toUpperCase().replace(" ", "T")) : Number.NaN;
  if (!Number.isNaN(timeMs)) return ok({ kind: "time", timeMs });
  if (ZONELESS.test(text)) return err(`must say its time zone: ${text.replace(" ", "T")}Z, or with +01:00 for Z`);
  return err("must be a time ago (90m, 2d), a time (2026-03-01T12:00:00Z), a revision (41) or head~2");
}

/** As policy's durations, with days before them: history goes further back than any timeout. */
function parseLongDuration(text: string): number | undefined {
  const [, days, rest] = DAYS.exec(text) ?? [];
  if (days === undefined || rest === undefined) return parseDuration(text);
  const restMs = rest === "" ? 0 : parseDuration(rest);
  return restMs === undefined ? undefined : Number(days) * DAY_MS + restMs;
}

/** `3m ago`, `in 20h`: whole units, one of them, since tables need no more. */
export function formatRelative(timeMs: number, nowMs: number): string {
  const distanceMs = Math.abs(nowMs - timeMs);
  if (distanceMs < SECOND_MS) return "now";
  const span = wholeUnits(distanceMs);
  return timeMs < nowMs ? `${span} ago` : `in ${span}`;
}

function wholeUnits(durationMs: number): string {
  if (durationMs < MINUTE_MS) return `${Math.floor(durationMs / SECOND_MS)}s`;
  if (durationMs < HOUR_MS) return `${Math.floor(durationMs / MINUTE_MS)}m`;
  if (durationMs < 2 * DAY_MS) return `${Math.floor(durationMs / HOUR_MS)}h`;
  return `${Math.floor(durationMs / DAY_MS)}d`;
}
