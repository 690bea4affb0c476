/**
 * Brings compiled snapshots to where sidecars read them: the durable copy in the bucket first, then the push. Several
 * control replicas do this at once and share nothing: each write names the entry that it replaces, and whoever loses
 * reads again and only ever replaces an older revision of the mesh by a newer one.
 */

import { z } from "zod";
import type { RecordedChange } from "../events/change.ts";
import { INITIAL_STATE, type MeshState } from "../events/state.ts";
import type { Bucket, Bus, Entry } from "../nats/bus.ts";
import { subjects } from "../nats/subjects.ts";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { affectedServices } from "./affected.ts";
import { messageOf } from "./backoff.ts";
import { declaredServices, type ServiceName } from "./call-graph.ts";
import { Coalescer } from "./coalescer.ts";
import { closedSnapshot, compileSnapshot, encodeSnapshot, snapshotDigest } from "./compile-snapshot.ts";
import { EntryCache } from "./entry-cache.ts";

export interface SnapshotPublisherOptions {
  readonly bus: Bus;
  /** `CONFIG_BUCKET`. */
  readonly bucket: Bucket;
  readonly warn: (message: string) => void;
  /** How often the bucket is compared with what this replica believes to be in it. */
  readonly reconcileEveryMs?: number;
  /** Uniform in [0, 1); spreads further tries. */
  readonly random?: () => number;
}

/**
 * Another replica may write an older snapshot after this one found nothing to write (the same policy returned), and
 * die before it catches up. The write is legitimate and cannot be refused, so it is looked for: this bounds how long
 * it can stand.
 */
const RECONCILE_EVERY_MS = 60_000;

/**
 * Writes of one key that may lose in a row before a pause. Each loss means that another replica has just written, so
 * more than a few mean that reads lag behind writes (a direct get may be answered by a follower).
 */
const RACES_MAX = 8;

/** What is known of a stored snapshot. */
interface Stored {
  /** The mesh revision as of which it was compiled; -1 where the entry cannot be read, which any snapshot replaces. */
  readonly revision: number;
  readonly digest: string;
}

/** Enough of a snapshot of any version to know which of two is the newer. */
const storedSnapshot = z.looseObject({ revision: z.int().min(0) });

/**
 * Publishes the snapshot of every service that a change touched. Feed it from a running projection: `changed` is its
 * `onChange`, and `start` takes the state that it has caught up with.
 *
 * A service that is removed gets a snapshot that refuses every call (`closedSnapshot`), and keeps its key. Deleting the
 * key instead would forget at which revision the service was closed, and let a replica that lags behind put back the
 * policy of a service that is gone; and a sidecar that missed the deletion could not tell it from a bucket that it
 * has not reached yet. Sidecars treat a key that was never there as no policy at all, and refuse everything.
 */
export class SnapshotPublisher {
  readonly #options: SnapshotPublisherOptions;
  readonly #stored: EntryCache<Stored>;
  readonly #writes: Coalescer<ServiceRef>;
  #state: MeshState = INITIAL_STATE;
  #started = false;
  #stopped = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The mesh revision when the round of writes under way began, and that of the last round without a fault. */
  #roundRevision = 0;
  #doneRevision = 0;

  constructor(options: SnapshotPublisherOptions) {
    this.#options = options;
    this.#stored = new EntryCache(options.bucket, (entry) => this.#describe(entry));
    this.#writes = new Coalescer({
      work: (ref) => this.#write(ref),
      onRound: () => {
        this.#roundRevision = this.#state.revision;
      },
      onRoundDone: () => {
        this.#doneRevision = this.#roundRevision;
      },
      warn: options.warn,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
  }

  /**
   * Reads what is stored and makes it that of `state`, or of the newest state that `changed` was told of since.
   * Resolves when the bucket is read; the writes go on (see `settled`). Rejects when the bucket is out of reach.
   */
  async start(state: MeshState): Promise<void> {
    if (state.revision > this.#state.revision) this.#state = state;
    await this.#stored.refresh();
    if (this.#stopped) return;
    this.#started = true;
    this.#writes.mark(this.#everyService());
    this.#options.bus.onConnection((event) => {
      if (event === "connected") void this.reconcile();
    });
    this.#timer = setInterval(() => void this.reconcile(), this.#options.reconcileEveryMs ?? RECONCILE_EVERY_MS);
    this.#timer.unref();
  }

  /** A change was folded: its services' snapshots become due. Until `start`, only the state is kept. */
  changed(before: MeshState, after: MeshState, change: RecordedChange): void {
    this.#state = after;
    if (!this.#started) return;
    const affected = affectedServices(before, after, change);
    this.#writes.mark(affected === "all" ? this.#everyService() : affected);
  }

  /** The revision of the snapshot that is now published for a service: what its sidecars should enforce. */
  expectedRevision(service: ServiceRef): number | undefined {
    return this.#stored.get(service)?.revision;
  }

  /** Every change up to this revision is in the published snapshots. */
  get publishedRevision(): number {
    return this.#started && this.#writes.idle ? this.#state.revision : this.#doneRevision;
  }

  /** Resolves when every snapshot that is due has been written and pushed. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }

  /** Looks for entries that others wrote or removed, and sees to it that they are those of the state. Never rejects. */
  async reconcile(): Promise<void> {
    if (this.#stopped) return;
    try {
      this.#writes.mark(await this.#stored.refresh());
    } catch (error) {
      this.#options.warn(`stored snapshots could not be compared: ${messageOf(error)}`);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#writes.stop();
  }

  /** Removed services too: theirs are to keep the trust bundle of the day. */
  #everyService(): Set<ServiceRef> {
    return declaredServices(this.#state).union(new Set(this.#stored.services()));
  }

  /** Makes the stored snapshot of one service that of the newest state, unless it is that already, or newer. */
  async #write(ref: ServiceRef): Promise<void> {
    const service = parseServiceRef(ref);
    if (service === undefined) return;
    const compiled = compileSnapshot(this.#state, service);
    // What is not declared and has never been published needs no closing.
    if (compiled === undefined && this.#stored.get(ref) === undefined) return;
    const snapshot = compiled ?? closedSnapshot(this.#state, service);
    const description = { revision: snapshot.revision, digest: snapshotDigest(snapshot) };
    for (let race = 0; race < RACES_MAX; race++) {
      const stored = this.#stored.get(ref);
      const same = stored?.digest === description.digest;
      // Lost to an earlier try of our own, perhaps, whose acknowledgement went missing and with it the push.
      if (same && race > 0 && stored.revision === snapshot.revision) this.#push(service, encodeSnapshot(snapshot));
      if (same || (stored?.revision ?? -1) >= snapshot.revision) return;
      const bytes = encodeSnapshot(snapshot);
      if (await this.#stored.replace(ref, bytes, description)) {
        this.#push(service, bytes);
        return;
      }
    }
    throw new Error(`${RACES_MAX} writes of ${ref} came too late`);
  }

  #push({ namespace, name }: ServiceName, bytes: Uint8Array): void {
    this.#options.bus.publish(subjects.config(namespace, name), bytes);
  }

  #describe({ key, value }: Entry): Stored {
    try {
      const snapshot = storedSnapshot.parse(JSON.parse(new TextDecoder().decode(value)));
      return { revision: snapshot.revision, digest: snapshotDigest(snapshot) };
    } catch (error) {
      this.#options.warn(`the stored snapshot ${key} cannot be read and will be replaced: ${messageOf(error)}`);
      return { revision: -1, digest: "" };
    }
  }
}
