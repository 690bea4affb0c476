/**
 * Where a sidecar's policy and endpoints come from: pushed on subjects, read once by direct get, and compared again
 * every half minute, since a push may be lost. Nothing older than what is in force is ever handed on, and nothing
 * that speaks of another service: whoever may publish on a subject is not whoever may speak for it.
 */

import { z } from "zod";
import type { Bucket, Bus, BusSubscription } from "../../nats/bus.ts";
import { subjects } from "../../nats/subjects.ts";
import { parseJson } from "../../policy/json.ts";
import type { ServiceRef } from "../../policy/names.ts";
import type { EndpointSet, ServiceSnapshot } from "../../projections/snapshot.ts";
import { type ReadSnapshot, readEndpointSet, readSnapshot, reasonOf } from "../../projections/snapshot-reading.ts";
import { splitSnapshot } from "../../projections/snapshot-text.ts";
import { FollowedEndpoints } from "./followed-endpoints.ts";
import { inTurns, othersTurn } from "./turns.ts";

type Reader = Pick<Bucket, "get">;

export interface ConfigSourceOptions {
  readonly namespace: string;
  readonly service: string;
  readonly bus: Bus;
  readonly config: Reader;
  readonly endpoints: Reader;
  /** In [0, 1). */
  readonly random: () => number;
  /**
   * A newer snapshot, and what it was read from. Its upstreams are the same objects as in the one before where nothing
   * is said anew of them. False: it cannot be enforced, and what is in force stays.
   */
  readonly onSnapshot: (snapshot: ServiceSnapshot, text: Uint8Array) => boolean;
  readonly onEndpoints: (set: EndpointSet) => void;
  /** The control plane's copy was read, and what is in force is not older. */
  readonly onConfirmed: () => void;
  /** A newer snapshot or endpoint set that cannot be understood; what is in force stays. */
  readonly onRejected: (what: string, reason: string) => void;
  /** Our own newer snapshot holds what this version does not know, or is damaged; told once of a revision. */
  readonly onSnapshotRejected: (revision: number, reason: string) => void;
}

/** Enough of a snapshot of any version to know whose it is, and whether it is newer. */
const snapshotHead = z.object({ namespace: z.string(), name: z.string(), revision: z.int().min(0) });

/** Putting a larger snapshot in force takes about a millisecond, so requests get a turn between reading it and that. */
const BYTES_AT_ONCE = 256 * 1024;
const COMPARE_EVERY_MS = 30_000;
const COMPARE_JITTER_MS = 10_000;
/** Before the first snapshot is there, and after a read that failed. */
const RETRY_MS = 1_000;

export class ConfigSource {
  readonly #options: ConfigSourceOptions;
  readonly #key: string;
  readonly #subscription: BusSubscription;
  readonly #followed: FollowedEndpoints;
  /** The newest that was handed on. */
  #revision: number;
  /** It is in force. */
  #enforced: boolean;
  /** The last of our own that could be read: what the next one has in common with it is not read again. */
  #read: ReadSnapshot | undefined;
  /** The last of our own that could not be read. */
  #rejected = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Resolves when all snapshots have been read that were offered so far. */
  #reading: Promise<unknown> = Promise.resolve();
  #comparing = false;
  #stopped = false;

  /** @param revision of the snapshot already in force; 0: none. */
  constructor(options: ConfigSourceOptions, revision: number) {
    this.#options = options;
    this.#revision = revision;
    this.#enforced = revision > 0;
    const { bus, namespace, service } = options;
    this.#key = `${namespace}.${service}`;
    this.#followed = new FollowedEndpoints(bus, (ref, data) => void this.#offerEndpoints(ref, data));
    // Subscribed before the first read, so that no change can fall between the two.
    this.#subscription = bus.subscribe(
      subjects.config(namespace, service),
      ({ data }) => void this.#offerSnapshot(data),
    );
    bus.onConnection((event) => {
      if (event === "connected") this.#compareIn(0);
    });
    this.#compareIn(0);
  }

  /** Follows the endpoints of exactly these services. */
  follow(services: readonly ServiceRef[]): void {
    for (const service of this.#followed.follow(services)) {
      void this.#readEndpoints(service).catch(() => this.#compareIn(RETRY_MS));
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#subscription.stop();
    this.#followed.stop();
  }

  #compareIn(delayMs: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#compare(), delayMs);
  }

  async #compare(): Promise<void> {
    if (this.#comparing) return;
    this.#comparing = true;
    let delayMs = COMPARE_EVERY_MS + this.#options.random() * COMPARE_JITTER_MS;
    try {
      const entry = await this.#options.config.get(this.#key);
      if (entry !== undefined && (await this.#offerSnapshot(entry.value))) this.#options.onConfirmed();
      if (this.#revision === 0) delayMs = RETRY_MS;
      for (const service of this.#followed.services()) await this.#readEndpoints(service);
    } catch {
      // The connection is away, or the bucket not yet made: what is in force stays in force.
      delayMs = RETRY_MS + this.#options.random() * RETRY_MS;
    } finally {
      this.#comparing = false;
    }
    this.#compareIn(delayMs);
  }

  async #readEndpoints(service: ServiceRef): Promise<void> {
    const entry = await this.#options.endpoints.get(service.replace("/", "."));
    if (entry !== undefined) await this.#offerEndpoints(service, entry.value);
  }

  /** True if what is now in force is not older than what is offered. One is read after the other, as they came. */
  #offerSnapshot(data: Uint8Array): Promise<boolean> {
    const reading = this.#reading.then(() => this.#takeSnapshot(data));
    // What goes wrong with one is for whoever offered it, and not for the next.
    this.#reading = reading.catch(() => {});
    return reading;
  }

  async #takeSnapshot(data: Uint8Array): Promise<boolean> {
    const { namespace, service, onRejected, onSnapshot } = this.#options;
    // As it mostly is when it is compared.
    if (this.#read !== undefined && Buffer.compare(this.#read.bytes, data) === 0) return this.#enforced;
    const text = await inTurns(splitSnapshot(detached(data), this.#read));
    const head = snapshotHead.safeParse(text.frame);
    if (!head.success) {
      onRejected("snapshot", text.frame === undefined ? NO_JSON : reasonOf(head.error));
      return false;
    }
    const { revision } = head.data;
    if (head.data.namespace !== namespace || head.data.name !== service) {
      onRejected("snapshot", `it is one of ${head.data.namespace}/${head.data.name}`);
      return false;
    }
    if (revision <= this.#revision) return this.#enforced;
    const read = await inTurns(readSnapshot(text));
    if (data.byteLength > BYTES_AT_ONCE) await othersTurn();
    if (this.#stopped) return false;
    if (typeof read === "string") return this.#rejectSnapshot(revision, read);
    this.#revision = revision;
    this.#rejected = 0;
    this.#read = read;
    this.#enforced = onSnapshot(read.snapshot, read.bytes);
    return this.#enforced;
  }

  /** Never enforced in part, as what is not known may forbid something. It is read again at every comparison. */
  #rejectSnapshot(revision: number, reason: string): false {
    if (revision === this.#rejected) return false;
    this.#rejected = revision;
    this.#options.onSnapshotRejected(revision, `this version does not understand it: ${reason}`);
    return false;
  }

  /** Of two that are read at once, the newer stays, whichever is done first. */
  async #offerEndpoints(service: ServiceRef, data: Uint8Array): Promise<void> {
    const { onRejected, onEndpoints } = this.#options;
    const value = parseJson(data);
    const set = value === undefined ? NO_JSON : await inTurns(readEndpointSet(value));
    // Nobody may call it any more, or ever again.
    if (!this.#followed.has(service)) return;
    if (typeof set === "string") onRejected(`endpoints of ${service}`, set);
    else if (`${set.namespace}/${set.name}` === service) onEndpoints(set);
    else onRejected(`endpoints of ${service}`, `they are those of ${set.namespace}/${set.name}`);
  }
}

const NO_JSON = "it is no JSON";

/** To be kept: a small part of a large buffer must not keep all of it. */
function detached(data: Uint8Array): Uint8Array {
  return 2 * data.byteLength < data.buffer.byteLength ? data.slice() : data;
}
