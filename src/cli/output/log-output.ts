/** Entries of history as they are printed: a line each for people, a value each for machines. */

import { describe } from "../../events/describe.ts";
import type { HistoryEntry } from "../../replay/history.ts";
import { formatRelative } from "../input/moment.ts";
import { table } from "./output.ts";
import { safeLine, safeText } from "./safe-text.ts";

export const LOG_FORMATS = ["table", "json", "yaml", "cloudevents"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogStyle {
  readonly nowMs: number;
  /** Columns of the terminal; undefined where there is none, and nothing is cut. */
  readonly width: number | undefined;
  /** Relative ones age, so what stays on the screen has absolute ones. */
  readonly times: "relative" | "absolute";
  readonly heads?: boolean;
  /** Before each line: its lanes, as `graphLanes` draws them. */
  readonly lanes?: readonly string[];
}

const ESCAPES = /\u001b\[[0-9;]*m/g;
const HEADS = ["revision", "time", "by", "change"];
/** Sentences of one line; `show` has them all. */
const SENTENCES_MAX = 3;
/** Characters of a reason in a line. */
const REASON_LENGTH_MAX = 40;
/** However narrow the terminal is, so much of a change is shown. */
const CHANGE_LENGTH_MIN = 30;
/** Rows that come one by one still stand under one another. */
const REVISION_COLUMNS = HEADS[0]?.length ?? 0;
const ACTOR_COLUMNS = 8;

/** One line per change: revision, time, operator, what happened and, in quotes, why. */
export function logTable(entries: readonly HistoryEntry[], style: LogStyle): string {
  const { lanes } = style;
  const heads = lanes === undefined ? HEADS : ["", "namespace", ...HEADS];
  const starts = entries.map((entry, index) => {
    const start = rowStart(entry, style);
    return lanes === undefined ? start : [lanes[index] ?? "", safeText(entry.recorded.namespace), ...start];
  });
  // What an empty last column leaves: the table itself knows how wide it sets the others.
  const used = Math.max(
    0,
    ...table(
      heads,
      starts.map((start) => [...start, "|"]),
    )
      .split("\n")
      .map((line) => line.replaceAll(ESCAPES, "").lastIndexOf("|")),
  );
  const room = style.width === undefined ? Number.POSITIVE_INFINITY : Math.max(style.width - used, CHANGE_LENGTH_MIN);
  const text = table(
    heads,
    entries.map((entry, index) => [...(starts[index] ?? []), changeText(entry, room)]),
  );
  return style.heads === false ? text.slice(text.indexOf("\n") + 1) : text;
}

function rowStart({ recorded: { revision, change } }: HistoryEntry, { nowMs, times }: LogStyle): string[] {
  const time = times === "relative" ? formatRelative(Date.parse(change.time), nowMs) : safeText(change.time);
  return [String(revision).padEnd(REVISION_COLUMNS), time, safeText(change.data.actor.name).padEnd(ACTOR_COLUMNS)];
}

function changeText({ recorded, events }: HistoryEntry, room: number): string {
  const { reason } = recorded.change.data;
  const why = reason === "" ? "" : ` "${safeLine(reason, REASON_LENGTH_MAX)}"`;
  const sentences = events.slice(0, SENTENCES_MAX).map(describe);
  const rest = events.length - sentences.length;
  const more = rest > 0 ? `; and ${rest} more` : "";
  return `${safeLine(sentences.join("; "), room - why.length - more.length)}${more}${why}`;
}

/** For machines: the entry with its events in words, or the change as the CloudEvent that the ledger holds. */
export function logValue({ recorded, events }: HistoryEntry, format: Exclude<LogFormat, "table">): object {
  const { revision, namespace, change, hash } = recorded;
  // CloudEvents' sequence extension: a string that orders the events of one source.
  if (format === "cloudevents") return { ...change, sequence: String(revision) };
  const { actor, reason, command } = change.data;
  return {
    revision,
    namespace,
    time: change.time,
    actor,
    reason,
    command: { kind: command.kind, id: command.id },
    lines: events.map(describe),
    events,
    hash,
  };
}
