/**
 * Metrics as the hot path sees them: numbers in objects and arrays that somebody reads when Prometheus asks. Nothing
 * here knows the exposition format, and nothing is looked up by name while a request runs.
 */

import { Interned, type Labels } from "./interned.ts";

export interface Sample {
  /** The same object at every scrape: its text is cached by it. */
  readonly labels: Labels;
  readonly value: number;
}

export interface HistogramSample {
  readonly labels: Labels;
  readonly histogram: Histogram;
}

interface FamilyHead {
  readonly name: string;
  readonly help: string;
}

/** One metric name with all its series; `samples` is asked at each scrape. */
export type MetricFamily =
  | (FamilyHead & {
      readonly type: "counter" | "gauge";
      /** Of a gauge; the largest, where it is not said. Counters add up. */
      readonly acrossProcesses?: AcrossProcesses | undefined;
      samples(): Iterable<Sample>;
    })
  | (FamilyHead & {
      readonly type: "histogram";
      /** Of every series: upper bounds, as `Histogram` has them. */
      readonly bounds: readonly number[];
      samples(): Iterable<HistogramSample>;
    });

/** What the gauges of processes that do one thing together show as one; `first`: that of the process which is asked. */
export type AcrossProcesses = "sum" | "max" | "first";

/** Counts by upper bound. Doubles count exactly up to 2^53, where 32-bit integers would wrap within hours. */
export class Histogram {
  /** Upper bounds, inclusive, ascending; above the last there is `+Inf`. */
  readonly bounds: readonly number[];
  /** Per bucket, not cumulative; one more than there are bounds. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** Walks from the lowest bound, where nearly all requests end within a few steps. */
  observe(value: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at++;
    counts[at] = (counts[at] ?? 0) + 1;
    this.sum += value;
  }
}

/** A number that its owner keeps and changes. */
export interface Cell {
  value: number;
}

/** Series of one family, beyond which label values share one. */
const CELLS_MAX = 1000;

/** A counter or gauge with labels: ask for a cell once, keep it, and change its value. */
export class CellFamily<L extends string> {
  readonly type: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  readonly #labelNames: readonly L[];
  readonly #cells = new Interned<Cell & Sample>(CELLS_MAX, (labels) => ({ labels, value: 0 }));

  constructor(
    type: "counter" | "gauge",
    name: string,
    help: string,
    labelNames: readonly L[],
    readonly acrossProcesses?: AcrossProcesses,
  ) {
    this.type = type;
    this.name = name;
    this.help = help;
    this.#labelNames = labelNames;
  }

  cell(labels: Readonly<Record<L, string>>): Cell {
    return this.#cells.get(this.#ordered(labels));
  }

  /** Forgets a series, such as that of an upstream that policy no longer knows. */
  remove(labels: Readonly<Record<L, string>>): void {
    this.#cells.delete(this.#ordered(labels));
  }

  samples(): Iterable<Sample> {
    return this.#cells.values();
  }

  #ordered(labels: Readonly<Record<L, string>>): Labels {
    return Object.fromEntries(this.#labelNames.map((name) => [name, labels[name]]));
  }
}

const NO_LABELS: Labels = {};

/** A family of one series that is read off when asked. A value of undefined is not shown. */
export function computed(
  type: "counter" | "gauge",
  name: string,
  help: string,
  read: () => number | undefined,
  acrossProcesses?: AcrossProcesses,
): MetricFamily {
  return {
    type,
    name,
    help,
    acrossProcesses,
    samples() {
      const value = read();
      return value === undefined ? [] : [{ labels: NO_LABELS, value }];
    },
  };
}
