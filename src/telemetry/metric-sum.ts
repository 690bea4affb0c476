/** The metrics of several processes that do one thing together, as those of one. */

import { z } from "zod";
import type { Labels } from "./interned.ts";
import {
  type AcrossProcesses,
  Histogram,
  type HistogramSample,
  type MetricFamily,
  type Sample,
} from "./metric-family.ts";

const labels = z.record(z.string(), z.string());

/** What one process counts, as plain data: by family, each series with its labels. */
export const metricReport = z.record(
  z.string(),
  z.array(
    z.union([
      z.strictObject({ labels, value: z.number() }),
      /** `counts` per bucket, as `Histogram` has them. */
      z.strictObject({ labels, counts: z.array(z.number()), sum: z.number() }),
    ]),
  ),
);

export type MetricReport = z.infer<typeof metricReport>;
type ReportedSeries = MetricReport[string][number];

/** Every number of these families, as of now. */
export function reportOf(families: readonly MetricFamily[]): MetricReport {
  return Object.fromEntries(
    families.map((family) => [
      family.name,
      family.type === "histogram" ? Array.from(family.samples(), reportHistogram) : Array.from(family.samples()),
    ]),
  );
}

function reportHistogram({ labels: own, histogram }: HistogramSample): ReportedSeries {
  return { labels: own, counts: [...histogram.counts], sum: histogram.sum };
}

/**
 * Our own families, with what others report added to them. What a process counted outlives it, or a counter would go
 * back when one ends; its gauges go with it.
 */
export class MetricSum {
  readonly families: readonly MetricFamily[];
  readonly #own: readonly MetricFamily[];
  readonly #reports = new Map<number, MetricReport>();
  #departed: MetricReport = {};

  constructor(own: readonly MetricFamily[]) {
    this.#own = own;
    this.families = own.map((family) => this.#summed(family));
  }

  /** The newest report of one of the processes replaces the one before. */
  set(process: number, report: MetricReport): void {
    this.#reports.set(process, report);
  }

  /** A process has ended; what it reported last is all that is known of it. */
  departed(process: number): void {
    const last = this.#reports.get(process);
    if (last === undefined) return;
    this.#reports.delete(process);
    const kept: Record<string, ReportedSeries[]> = {};
    for (const { name, type } of this.#own) {
      if (type === "gauge") continue;
      kept[name] = [...new SeriesSum("sum", [this.#departed[name], last[name]]).series()];
    }
    this.#departed = kept;
  }

  #summed(family: MetricFamily): MetricFamily {
    // The text of labels is cached by the object, so the same series must show the same one at every scrape.
    let known = new Map<string, Labels>();
    const labelsOf = (one: ReportedSeries, next: Map<string, Labels>): Labels => {
      const key = keyOf(one.labels);
      const same = known.get(key) ?? one.labels;
      next.set(key, same);
      return same;
    };
    const read = (): { readonly labels: Labels; readonly series: ReportedSeries }[] => {
      const { name } = family;
      const own = reportOf([family])[name];
      const reports = [own, this.#departed[name], ...Array.from(this.#reports.values(), (report) => report[name])];
      const combine = family.type === "gauge" ? (family.acrossProcesses ?? "max") : "sum";
      const next = new Map<string, Labels>();
      const sum = new SeriesSum(combine, reports);
      const series = Array.from(sum.series(), (one) => ({ labels: labelsOf(one, next), series: one }));
      known = next;
      return series;
    };
    if (family.type !== "histogram") {
      return { ...family, samples: () => read().map(({ labels: own, series }) => sampleOf(own, series)) };
    }
    const { bounds } = family;
    return { ...family, samples: () => read().map(({ labels: own, series }) => histogramOf(own, series, bounds)) };
  }
}

/** One family's series, from several reports. */
class SeriesSum {
  readonly #byKey = new Map<string, ReportedSeries>();

  constructor(combine: AcrossProcesses, reports: readonly (readonly ReportedSeries[] | undefined)[]) {
    for (const report of reports) {
      for (const one of report ?? []) {
        const key = keyOf(one.labels);
        const before = this.#byKey.get(key);
        this.#byKey.set(key, before === undefined ? one : combined(combine, before, one));
      }
    }
  }

  series(): Iterable<ReportedSeries> {
    return this.#byKey.values();
  }
}

function combined(how: AcrossProcesses, one: ReportedSeries, other: ReportedSeries): ReportedSeries {
  if ("counts" in one && "counts" in other) {
    const counts = one.counts.map((count, index) => count + (other.counts[index] ?? 0));
    return { labels: one.labels, counts, sum: one.sum + other.sum };
  }
  if ("counts" in one || "counts" in other || how === "first") return one;
  const value = how === "sum" ? one.value + other.value : Math.max(one.value, other.value);
  return { labels: one.labels, value };
}

function sampleOf(own: Labels, series: ReportedSeries): Sample {
  return { labels: own, value: "value" in series ? series.value : 0 };
}

function histogramOf(own: Labels, series: ReportedSeries, bounds: readonly number[]): HistogramSample {
  const histogram = new Histogram(bounds);
  if ("counts" in series) {
    histogram.counts.set(series.counts.slice(0, histogram.counts.length));
    histogram.sum = series.sum;
  }
  return { labels: own, histogram };
}

/** Families name their labels always in the same order. */
function keyOf(own: Labels): string {
  return Object.values(own).join("\0");
}
