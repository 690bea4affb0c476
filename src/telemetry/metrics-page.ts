/** What `/metrics` and `/stats/prometheus` answer. */

import type { Registry } from "prom-client";
import type { MetricFamily } from "./metric-family.ts";

export interface RenderedMetrics {
  readonly contentType: string;
  readonly text: string;
}

/** The metrics of one process. Scrapes may overlap; each reads the numbers of its own moment. */
export class MetricsPage {
  readonly #families: readonly MetricFamily[];
  #registry: Promise<Registry> | undefined;

  /** Names must be unique among `families`. */
  constructor(families: readonly MetricFamily[]) {
    this.#families = families;
  }

  async render(): Promise<RenderedMetrics> {
    this.#registry ??= import("./prometheus.ts").then(({ registryOf }) => registryOf(this.#families));
    const registry = await this.#registry;
    return { contentType: registry.contentType, text: await registry.metrics() };
  }
}
