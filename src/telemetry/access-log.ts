/** The access log: a line per request, gathered and written in batches, never in the way of traffic. */

import { formatAccessLine } from "./access-line.ts";
import { descriptorSink, fileSink, type LogSink, sharedDescriptorSink } from "./log-sink.ts";
import { computed, type MetricFamily } from "./metric-family.ts";
import type { RequestRecord } from "./request-record.ts";
import { NO_FLAGS } from "./response-flags.ts";

export interface AccessLogOptions {
  /** Share of the requests that are written, from 0 to 1. Those with a response flag always are. */
  readonly sample: number;
  /** A number in [0, 1), drawn anew at each call. */
  readonly random: () => number;
  /** Longest time that a line waits for others. */
  readonly flushMs: number;
  /** A batch is written at this length without waiting further, in characters. */
  readonly batchCharacters: number;
  /** Lines waiting for a sink that is stuck, in characters; beyond it lines are dropped and counted. */
  readonly waitingCharactersMax: number;
  /** Other processes write to the same standard output. */
  readonly shared: boolean;
}

const ACCESS_LOG_DEFAULTS: AccessLogOptions = {
  sample: 1,
  random: Math.random,
  flushMs: 200,
  batchCharacters: 64 * 1024,
  waitingCharactersMax: 1024 * 1024,
  shared: false,
};

export class AccessLog {
  readonly #sink: LogSink;
  readonly #options: AccessLogOptions;
  #waiting = "";
  #waitingLines = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> | undefined;
  #dropped = 0;

  constructor(sink: LogSink, options: Partial<AccessLogOptions> = {}) {
    this.#sink = sink;
    this.#options = { ...ACCESS_LOG_DEFAULTS, ...options };
  }

  /** Lines lost so far, to a sink that was stuck or failed. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes the request into the log. The record may be used anew at once. */
  log(record: RequestRecord): void {
    const { sample, random, batchCharacters, waitingCharactersMax, flushMs } = this.#options;
    if (sample < 1 && record.flags === NO_FLAGS && random() >= sample) return;
    if (this.#waiting.length >= waitingCharactersMax) {
      this.#dropped++;
      return;
    }
    this.#waiting += formatAccessLine(record);
    this.#waitingLines++;
    if (this.#writing !== undefined) return;
    if (this.#waiting.length >= batchCharacters) this.#writing = this.#drain();
    else this.#timer ??= setTimeout(() => this.#flush(), flushMs);
  }

  /** Writes what is left and closes the sink. Waits as long as the sink takes: bound it by the time to drain. */
  async close(): Promise<void> {
    this.#flush();
    await this.#writing;
    await this.#sink.close();
  }

  /** For `MetricsPage`. */
  families(): MetricFamily[] {
    const help = "Access log lines lost to a sink that was stuck or failed.";
    return [computed("counter", "heddle_access_log_dropped_total", help, () => this.#dropped)];
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#drain();
  }

  /** Writes batch after batch until nothing waits: while one is being written, lines gather for the next. */
  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waitingLines > 0) {
      const batch = this.#waiting;
      const lines = this.#waitingLines;
      this.#waiting = "";
      this.#waitingLines = 0;
      try {
        await this.#sink.write(batch);
      } catch {
        // There is nobody to tell but the counter: the log is what failed.
        this.#dropped += lines;
      }
    }
    this.#writing = undefined;
  }
}

const STDOUT = 1;

/**
 * The access log that an option asks for: `off` (undefined), `on` or `stdout`, or the path of a file. Rejects when the
 * file cannot be opened.
 */
export async function openAccessLog(
  target: string,
  options: Partial<AccessLogOptions> = {},
): Promise<AccessLog | undefined> {
  if (target === "off") return undefined;
  const toStdout = options.shared === true ? sharedDescriptorSink : descriptorSink;
  const sink = target === "on" || target === "stdout" ? toStdout(STDOUT) : await fileSink(target);
  return new AccessLog(sink, options);
}
