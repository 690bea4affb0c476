/**
 * How far the mesh is behind its policy: one integer per instance, compared with the revision of the snapshot that is
 * published for its service. Nothing here asks anybody; what instances say of themselves moves it on.
 */

import { MESH_NAMESPACE, type ServiceRef, serviceRef } from "../policy/names.ts";
import type { InstanceRegistry } from "../projections/endpoints.ts";
import type { InstanceStatus } from "../projections/snapshot.ts";
import type { SnapshotPublisher } from "../projections/snapshot-store.ts";
import type { WaitReply } from "./protocol.ts";
import { type InstanceKey, instanceKey, type Roster, type RosterEntry, unheardInstances } from "./roster.ts";

/** Waits under way at once; each holds a timer and a set of names. */
const WAITS_MAX = 1_000;
/** Changes that are timed on their way through the mesh at once; also, how many of those times are remembered. */
const TIMED_MAX = 64;
const REMEMBERED_TIMES_MAX = 1_000;
/** A change that some instance has not taken up by then is not measured: it would tell of that stuck instance only. */
const TIMED_FOR_MS = 10 * 60_000;

export interface ConvergenceOptions {
  readonly roster: Roster;
  readonly registry: Pick<InstanceRegistry, "services" | "endpointsOf">;
  readonly publisher: Pick<SnapshotPublisher, "expectedRevision" | "publishedRevision" | "settled">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told how long a change took from being recorded to its last acknowledgement, in milliseconds. */
  readonly observe: (durationMs: number) => void;
}

/** Somebody who wants to know when a revision is in force. */
interface Goal {
  readonly revision: number;
  /** Called when every connected instance is there; `lastMs`: when the last one was, if any had to do anything. */
  readonly reached: (lastMs: number | undefined) => void;
  /** Undefined until the snapshots of the revision are published; then what each service must have at least. */
  needed: ReadonlyMap<ServiceRef, number> | undefined;
  /** Who was behind when last looked at everybody. */
  lagging: Set<InstanceKey>;
}

type Laggard = WaitReply["lagging"][number];

export class Convergence {
  readonly #options: ConvergenceOptions;
  readonly #goals = new Set<Goal>();
  /** Milliseconds that a revision took, of the latest revisions. */
  readonly #durations = new Map<number, number>();
  /** What ends each wait under way, before its time. */
  readonly #waits = new Set<() => void>();
  #timed = 0;

  constructor(options: ConvergenceOptions) {
    this.#options = options;
  }

  /** A change was folded: its way through the mesh is timed from now on. The publisher was told of it before. */
  changed(revision: number): void {
    if (this.#timed < TIMED_MAX) this.#time(revision, this.#options.now());
    void this.#options.publisher.settled().then(() => this.advance());
  }

  /** An instance spoke, and enforces another revision than before, or is gone. */
  heard(status: InstanceStatus): void {
    const key = instanceKey(serviceRef(status.namespace, status.service), status.instance);
    for (const goal of [...this.#goals]) {
      if (goal.needed === undefined) this.#advanceGoal(goal);
      else if (goal.lagging.has(key) && (status.state === "gone" || !isBehind(goal, status))) {
        goal.lagging.delete(key);
        if (goal.lagging.size === 0) this.#advanceGoal(goal);
      }
    }
  }

  /** Looks at everybody: snapshots were published, or time has passed and with it, perhaps, an instance's life. */
  advance(): void {
    for (const goal of [...this.#goals]) this.#advanceGoal(goal);
  }

  /** Resolves when every connected instance enforces what the revision asks of its service, or after the time. */
  async wait(revision: number, timeoutMs: number): Promise<WaitReply> {
    const outcome = Promise.withResolvers<boolean>();
    const giveUp = (): void => outcome.resolve(false);
    const timer = setTimeout(giveUp, this.#waits.size < WAITS_MAX ? timeoutMs : 0);
    this.#waits.add(giveUp);
    const goal = this.#aim(revision, () => outcome.resolve(true));
    this.#advanceGoal(goal);
    const applied = await outcome.promise;
    clearTimeout(timer);
    this.#goals.delete(goal);
    this.#waits.delete(giveUp);
    const convergenceMs = this.#durations.get(revision);
    const lagging = this.#laggards(goal);
    return { applied, ...(applied && convergenceMs !== undefined ? { convergenceMs } : {}), lagging };
  }

  /** Answers everybody who waits with how things stand. */
  stop(): void {
    for (const giveUp of this.#waits) giveUp();
  }

  #time(revision: number, startMs: number): void {
    const finish = (): void => {
      clearTimeout(timer);
      this.#goals.delete(goal);
      this.#timed -= 1;
    };
    const goal = this.#aim(revision, (lastMs) => {
      if (lastMs !== undefined) this.#took(revision, Math.max(0, lastMs - startMs));
      finish();
    });
    const timer = setTimeout(finish, TIMED_FOR_MS);
    timer.unref();
    this.#timed += 1;
  }

  #aim(revision: number, reached: Goal["reached"]): Goal {
    const goal: Goal = { revision, reached, needed: undefined, lagging: new Set() };
    this.#goals.add(goal);
    return goal;
  }

  #took(revision: number, durationMs: number): void {
    this.#durations.set(revision, durationMs);
    const [oldest] = this.#durations.keys();
    if (this.#durations.size > REMEMBERED_TIMES_MAX && oldest !== undefined) this.#durations.delete(oldest);
    this.#options.observe(durationMs);
  }

  #advanceGoal(goal: Goal): void {
    const { publisher, roster, registry, now } = this.#options;
    if (goal.needed === undefined) {
      if (publisher.publishedRevision < goal.revision) return;
      goal.needed = this.#expectations();
    }
    goal.lagging.clear();
    let lastMs: number | undefined;
    for (const entry of roster.entries()) {
      if (!roster.isConnected(entry, now())) continue;
      if (isBehind(goal, entry.status)) goal.lagging.add(entry.key);
      // Only who had something to take up says how long that took.
      else if ((goal.needed.get(entry.service) ?? 0) >= goal.revision) {
        lastMs = Math.max(lastMs ?? 0, entry.revisionMs);
      }
    }
    for (const { key } of unheardInstances(roster, registry)) goal.lagging.add(key);
    if (goal.lagging.size === 0) goal.reached(lastMs);
  }

  /** What is published for every service that has an instance. */
  #expectations(): Map<ServiceRef, number> {
    const { roster, registry, publisher } = this.#options;
    const services = new Set<ServiceRef>(registry.services());
    for (const { service } of roster.entries()) services.add(service);
    return new Map([...services].map((service) => [service, publisher.expectedRevision(service) ?? 0]));
  }

  /** Everybody who is not there, in words; also who is away, which keeps nobody waiting. */
  #laggards(goal: Goal): Laggard[] {
    const { roster, registry, now } = this.#options;
    if (goal.needed === undefined) {
      const why = `the snapshots of revision ${goal.revision} are not published yet`;
      return [{ instance: "*", service: MESH_NAMESPACE, revision: this.#options.publisher.publishedRevision, why }];
    }
    const laggards: Laggard[] = [];
    for (const entry of roster.entries()) {
      if (!isBehind(goal, entry.status)) continue;
      const { instance, revision } = entry.status;
      const why = lagText(entry, goal, roster.isConnected(entry, now()), now());
      laggards.push({ instance, service: entry.service, revision, why });
    }
    for (const { instance, service } of unheardInstances(roster, registry)) {
      laggards.push({ instance, service, revision: 0, why: "has not been heard since this control replica started" });
    }
    return laggards;
  }
}

function isBehind({ needed }: Goal, { namespace, service, revision }: InstanceStatus): boolean {
  return revision < (needed?.get(serviceRef(namespace, service)) ?? 0);
}

function lagText({ status, heardMs, service }: RosterEntry, { needed }: Goal, connected: boolean, nowMs: number) {
  const { rejected, revision } = status;
  const wanted = needed?.get(service) ?? 0;
  if (!connected) return `disconnected: not heard for ${Math.round((nowMs - heardMs) / 1000)} s`;
  if (rejected !== undefined && rejected.revision >= wanted) return `rejected ${rejected.revision}: ${rejected.reason}`;
  return revision === 0 ? `has no snapshot yet, should enforce ${wanted}` : `enforces ${revision}, should ${wanted}`;
}
