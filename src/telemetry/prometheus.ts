/**
 * Our families as metrics of `prom-client`, which owns the exposition format. Loaded by `MetricsPage` at the first
 * scrape: it costs 7 MB that a sidecar nobody scrapes need not pay.
 */

import { Counter, Gauge, type Metric, Histogram as PrometheusHistogram, Registry } from "prom-client";
import type { Labels } from "./interned.ts";
import type { HistogramSample, MetricFamily, Sample } from "./metric-family.ts";

/** `sharedLabels` is the registry's: their text is made once per object, not once per bucket and scrape. */
interface RegistrySample {
  readonly labels: Record<string, string | number>;
  readonly sharedLabels: Labels;
  readonly metricName?: string;
  readonly value: number;
}

/** `registers`: none but ours; by default prom-client would add to a global one. */
interface FamilyHead {
  readonly name: string;
  readonly help: string;
  readonly registers: Registry[];
}

/** A registry that reads these families anew whenever it is asked. */
export function registryOf(families: readonly MetricFamily[]): Registry {
  const registry = new Registry();
  for (const family of families) registry.registerMetric(fold(family));
  return registry;
}

function fold(family: MetricFamily): Metric {
  const head = { name: family.name, help: family.help, registers: [] };
  switch (family.type) {
    case "counter":
      return new FoldedCounter(head, () => family.samples());
    case "gauge":
      return new FoldedGauge(head, () => family.samples());
    case "histogram":
      return new FoldedHistogram(head, () => family.samples());
  }
}

class FoldedCounter extends Counter {
  readonly #samples: () => Iterable<Sample>;

  constructor(head: FamilyHead, samples: () => Iterable<Sample>) {
    super(head);
    this.#samples = samples;
  }

  override async get() {
    return { ...(await super.get()), values: Array.from(this.#samples(), registrySample) };
  }
}

class FoldedGauge extends Gauge {
  readonly #samples: () => Iterable<Sample>;

  constructor(head: FamilyHead, samples: () => Iterable<Sample>) {
    super(head);
    this.#samples = samples;
  }

  override async get() {
    return { ...(await super.get()), values: Array.from(this.#samples(), registrySample) };
  }
}

class FoldedHistogram extends PrometheusHistogram {
  readonly #head: FamilyHead;
  readonly #samples: () => Iterable<HistogramSample>;

  constructor(head: FamilyHead, samples: () => Iterable<HistogramSample>) {
    super(head);
    this.#head = head;
    this.#samples = samples;
  }

  /** The registry asks for this form of a histogram, and its own `get` builds upon it. */
  async getForPromString() {
    const { name, help } = this.#head;
    const values: RegistrySample[] = [];
    for (const sample of this.#samples()) pushHistogram(values, name, sample);
    return { name, help, type: "histogram", values };
  }
}

function registrySample({ labels, value }: Sample): RegistrySample {
  return { labels: {}, sharedLabels: labels, value };
}

/** Buckets are cumulative on the wire, and end with `+Inf`. */
function pushHistogram(into: RegistrySample[], name: string, { labels, histogram }: HistogramSample): void {
  let count = 0;
  for (const [index, inBucket] of histogram.counts.entries()) {
    count += inBucket;
    const le = histogram.bounds[index] ?? "+Inf";
    into.push({ metricName: `${name}_bucket`, labels: { le }, sharedLabels: labels, value: count });
  }
  into.push({ metricName: `${name}_sum`, labels: {}, sharedLabels: labels, value: histogram.sum });
  into.push({ metricName: `${name}_count`, labels: {}, sharedLabels: labels, value: count });
}
