/** What a control replica counts. */

import type { RecordedChange } from "../events/change.ts";
import type { StatusRefusal } from "../projections/endpoint-publisher.ts";
import { CellFamily, computed, Histogram, type MetricFamily } from "../telemetry/metric-family.ts";
import { processFamilies } from "../telemetry/sidecar-metrics.ts";

/** From a push that is taken up at once, in milliseconds, to instances that were away for minutes. */
const CONVERGENCE_BOUNDS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

const NO_LABELS = {};

export interface ControlGauges {
  /** Last revision folded. */
  readonly revision: () => number;
  /** Instances that speak. */
  readonly instances: () => number;
  /** Ends of the root that signs and of the issuing certificate below it, Unix milliseconds. */
  readonly authorityExpiry: () => { readonly rootMs: number; readonly issuerMs: number };
}

export class ControlMetrics {
  readonly #events = new CellFamily("counter", "heddle_events_total", "Events folded since this replica started.", [
    "type",
  ]);
  readonly #convergence = new Histogram(CONVERGENCE_BOUNDS_S);

  readonly #signed = new CellFamily(
    "counter",
    "heddle_certificates_total",
    "Certificates asked for, by what came of it.",
    ["outcome"],
  );

  readonly #refusedStatuses = new CellFamily(
    "counter",
    "heddle_statuses_refused_total",
    "What instances said of themselves and was not taken in: too many of a service, too often, or not understood.",
    ["reason"],
  );

  refusedStatus(reason: StatusRefusal): void {
    this.#refusedStatuses.cell({ reason }).value += 1;
  }

  signed(outcome: "signed" | "refused"): void {
    this.#signed.cell({ outcome }).value += 1;
  }

  recorded({ change }: RecordedChange): void {
    for (const { type } of change.data.events) this.#events.cell({ type }).value += 1;
  }

  converged(durationMs: number): void {
    this.#convergence.observe(durationMs / 1000);
  }

  /** For `MetricsPage`. */
  families({ revision, instances, authorityExpiry }: ControlGauges): MetricFamily[] {
    return [
      this.#events,
      this.#signed,
      this.#refusedStatuses,
      {
        type: "histogram",
        name: "heddle_convergence_seconds",
        help: "From a change being recorded to the last connected sidecar enforcing it.",
        bounds: this.#convergence.bounds,
        samples: () => [{ labels: NO_LABELS, histogram: this.#convergence }],
      },
      computed("gauge", "heddle_ledger_revision", "Last revision folded.", revision),
      computed("gauge", "heddle_instances_connected", "Instances that were heard of late.", instances),
      computed("gauge", "heddle_ca_root_expiry_timestamp_seconds", "When the root that signs ends.", () => {
        return authorityExpiry().rootMs / 1000;
      }),
      computed("gauge", "heddle_ca_issuer_expiry_timestamp_seconds", "When the issuing certificate ends.", () => {
        return authorityExpiry().issuerMs / 1000;
      }),
      ...processFamilies(),
    ];
  }
}
