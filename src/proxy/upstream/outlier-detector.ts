/** Outlier detection for the endpoints of one service: what policy asks for, and what came of it. */

import type { SnapshotOutlierDetection } from "../../projections/snapshot.ts";
import {
  type EjectionReason,
  eject,
  findOutliers,
  isEjected,
  maySpare,
  newOutlierMemory,
  noteReachability,
  type Outcome,
  type OutlierMemory,
  observe,
  reinstate,
} from "./outlier.ts";

/** Ejected endpoints that are away; of more, the first to go are forgotten. */
const ABSENT_MAX = 1_000;

export class OutlierDetector {
  /** Ejections so far, by reason. */
  readonly ejections = new Map<EjectionReason, number>();
  #config: SnapshotOutlierDetection | undefined;
  /** Until when some endpoint is avoided: before that, picking must look. Monotonic milliseconds. */
  #avoidingUntilMs = 0;
  /** When the endpoints are compared next. */
  #compareAtMs = 0;
  /** What is remembered of ejected endpoints while they are away, by their keys. */
  readonly #absent = new Map<string, OutlierMemory>();

  /** @param all whoever is out comes back where policy asks for no outlier detection any more. */
  configure(config: SnapshotOutlierDetection | undefined, all: () => readonly OutlierMemory[]): void {
    if (config === undefined && this.#config !== undefined) {
      for (const memory of all()) reinstate(memory);
      this.#absent.clear();
    }
    this.#config = config;
  }

  /**
   * An endpoint goes. If it was ejected and comes back before the ejection ends, it is still ejected: a health check
   * that flaps, or a sidecar that was cut off for a moment, is no sign of recovery.
   */
  left(key: string, memory: OutlierMemory, nowMs: number): void {
    if (!isEjected(memory, nowMs)) return;
    for (const [other, { ejectedUntilMs }] of this.#absent) {
      if (ejectedUntilMs <= nowMs || this.#absent.size >= ABSENT_MAX) this.#absent.delete(other);
    }
    this.#absent.set(key, memory);
  }

  /** What is known of an endpoint that comes. */
  joined(key: string): OutlierMemory {
    const memory = this.#absent.get(key) ?? newOutlierMemory();
    this.#absent.delete(key);
    return memory;
  }

  /** With a smaller share of endpoints well than this, all are used; percent. */
  get panicThreshold(): number {
    return this.#config?.panicThreshold ?? 0;
  }

  /** Whether any endpoint may be avoided now. */
  isAvoiding(nowMs: number): boolean {
    if (this.#avoidingUntilMs === 0) return false;
    if (nowMs < this.#avoidingUntilMs) return true;
    this.#avoidingUntilMs = 0;
    return false;
  }

  /** Takes in how an attempt on one of `all` ended. */
  note(memory: OutlierMemory, outcome: Outcome, all: () => readonly OutlierMemory[], nowMs: number): void {
    noteReachability(memory, outcome !== "unreachable", nowMs);
    const config = this.#config;
    if (config !== undefined) {
      const reason = observe(memory, outcome, config);
      if (reason !== undefined) this.#eject(memory, reason, config, all, nowMs);
      if (nowMs >= this.#compareAtMs) this.#compare(config, all, nowMs);
    }
    this.#avoidingUntilMs = Math.max(this.#avoidingUntilMs, memory.ejectedUntilMs, memory.unreachableUntilMs);
  }

  #compare(config: SnapshotOutlierDetection, all: () => readonly OutlierMemory[], nowMs: number): void {
    // The first interval begins with the first outcome.
    if (this.#compareAtMs > 0) {
      for (const [memory, reason] of findOutliers(all(), config)) this.#eject(memory, reason, config, all, nowMs);
    }
    this.#compareAtMs = nowMs + config.intervalMs;
  }

  #eject(
    memory: OutlierMemory,
    reason: EjectionReason,
    config: SnapshotOutlierDetection,
    all: () => readonly OutlierMemory[],
    nowMs: number,
  ): void {
    if (isEjected(memory, nowMs)) return;
    const memories = all();
    const ejected = memories.reduce((count, one) => count + (isEjected(one, nowMs) ? 1 : 0), 0);
    if (!maySpare(memories.length, ejected, config)) return;
    eject(memory, reason, config, nowMs);
    this.ejections.set(reason, (this.ejections.get(reason) ?? 0) + 1);
    this.#avoidingUntilMs = Math.max(this.#avoidingUntilMs, memory.ejectedUntilMs);
  }
}
