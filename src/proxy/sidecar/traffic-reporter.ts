/**
 * Reports to the traffic ledger: once per interval, what calls there were. A report that nobody acknowledges is sent
 * again as it was, so that the ledger can tell that it has it; meanwhile calls go on being counted. What does not fit
 * any more is counted as missing, never just left out.
 */

import { z } from "zod";
import type { Bus } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import type { SidecarMetrics } from "../../telemetry/sidecar-metrics.ts";
import { encodeTrafficSummary, SUMMARY_CALLS_MAX, type TrafficSummary } from "../../telemetry/traffic-summary.ts";
import type { TrafficBatch } from "./data-plane.ts";

export interface ReporterOptions {
  readonly namespace: string;
  readonly service: string;
  readonly instance: string;
  readonly bus: Bus;
  readonly metrics: SidecarMetrics;
  readonly take: () => Promise<TrafficBatch>;
  /** Milliseconds; 0: never. */
  readonly trafficIntervalMs?: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Uniform in [0, 1): the sidecars of a mesh do not report all at once. */
  readonly random: () => number;
}

/** Short enough to see what a change did, long enough to be a small part of what the calls themselves send. */
const INTERVAL_MS = 60_000;
/** Reports that wait for the ledger: at a minute each, half an hour without it costs nothing. */
const WAITING_MAX = 30;
/** For each report. Also how long the last one can hold up the end of a sidecar. */
const STORE_TIMEOUT_MS = 2_000;

/** JetStream's acknowledgement; a refusal has no sequence. */
const stored = z.object({ seq: z.int().min(1) });

export class TrafficReporter {
  readonly #options: ReporterOptions;
  readonly #subject: string;
  readonly #epoch: number;
  readonly #waiting: TrafficSummary[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sequence = 0;
  #fromMs: number;
  #reporting: Promise<void> = Promise.resolve();

  constructor(options: ReporterOptions) {
    const { namespace, service, instance, now, random, trafficIntervalMs = INTERVAL_MS } = options;
    this.#options = options;
    this.#subject = subjects.traffic(namespace, service, instance);
    this.#fromMs = this.#epoch = now();
    if (trafficIntervalMs > 0) this.#schedule(trafficIntervalMs * (0.5 + random() / 2), trafficIntervalMs);
  }

  /** Reports what there is, one last time. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#options.trafficIntervalMs === 0) return;
    await this.#report();
  }

  #schedule(delayMs: number, intervalMs: number): void {
    this.#timer = setTimeout(() => {
      this.#schedule(intervalMs, intervalMs);
      void this.#report();
    }, delayMs);
  }

  /** One at a time: a report that is under way is waited for. */
  #report(): Promise<void> {
    this.#reporting = this.#reporting.then(() => this.#gather()).then(() => this.#send());
    return this.#reporting;
  }

  async #gather(): Promise<void> {
    const { take, metrics, now, instance } = this.#options;
    const { calls, dropped } = await take();
    metrics.trafficDropped += dropped;
    const [fromMs, toMs] = [this.#fromMs, Math.max(this.#fromMs, now())];
    this.#fromMs = toMs;
    for (let start = 0; start < calls.length; start += SUMMARY_CALLS_MAX) {
      this.#waiting.push({
        schema: 1,
        instance,
        epoch: this.#epoch,
        sequence: ++this.#sequence,
        fromMs,
        toMs,
        droppedCalls: metrics.trafficDropped,
        calls: calls.slice(start, start + SUMMARY_CALLS_MAX),
      });
    }
    while (this.#waiting.length > WAITING_MAX) {
      for (const { count } of this.#waiting.shift()?.calls ?? []) metrics.trafficDropped += count;
    }
  }

  /** Those that wait, in order, up to the first that is not taken: its turn comes again. */
  async #send(): Promise<void> {
    const { bus, metrics } = this.#options;
    for (let next = this.#waiting[0]; next !== undefined && bus.connected; next = this.#waiting[0]) {
      try {
        const answer = await bus.request(this.#subject, encodeTrafficSummary(next), { timeoutMs: STORE_TIMEOUT_MS });
        stored.parse(JSON.parse(new TextDecoder().decode(answer)));
      } catch {
        return;
      }
      metrics.trafficStored++;
      this.#waiting.shift();
    }
  }
}
