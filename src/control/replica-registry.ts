/** Which control replicas there are: each says so to the others every few seconds, and hears them. */

import { z } from "zod";
import type { Bus, BusSubscription } from "../nats/bus.ts";
import { subjects } from "../nats/subjects.ts";
import { parseJson } from "../policy/json.ts";

const HEARTBEAT_MS = 5_000;
/** Three heartbeats: one may be lost and one late. */
const SILENCE_MAX_MS = 15_000;
/** Replicas that are remembered; a mesh has a handful. */
const REPLICAS_MAX = 100;

/** Of any version: what a later one adds is left out. */
const heartbeat = z.object({
  id: z.string().max(64),
  version: z.string().max(64),
  /** Last revision folded. */
  revision: z.int().min(0),
  /** RFC 3339. */
  startedAt: z.string().max(64),
  /** The replica's clock as it spoke, milliseconds since the epoch. */
  timeMs: z.number(),
  /** Why it signs no certificates; absent: it does. */
  cannotSign: z.string().max(1_024).optional(),
  state: z.enum(["running", "gone"]),
});

type Heartbeat = z.infer<typeof heartbeat>;

/** A replica, as the one that was asked knows it. */
export interface KnownReplica {
  readonly id: string;
  readonly version: string;
  readonly revision: number;
  readonly startedAt: string;
  /** Its clock less that of the one that was asked, in milliseconds; the time that messages take is in it. */
  readonly skewMs: number;
  /** Why it signs no certificates; absent: it does. */
  readonly cannotSign?: string;
}

export interface ReplicaRegistryOptions {
  readonly bus: Bus;
  /** A NATS subject token, unique among replicas. */
  readonly id: string;
  readonly version: string;
  /** Last revision folded. */
  readonly revision: () => number;
  /** Why this replica signs no certificates; undefined: it does. */
  readonly cannotSign: () => string | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class ReplicaRegistry {
  readonly #options: ReplicaRegistryOptions;
  readonly #startedAt: string;
  readonly #others = new Map<string, { readonly replica: KnownReplica; readonly heardMs: number }>();
  #subscription: BusSubscription | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ReplicaRegistryOptions) {
    this.#options = options;
    this.#startedAt = new Date(options.now()).toISOString();
  }

  start(): void {
    this.#subscription = this.#options.bus.subscribe(subjects.allReplicas, ({ data }) => this.#hear(data));
    this.#timer = setInterval(() => this.#say("running"), HEARTBEAT_MS);
    this.#timer.unref();
    this.#say("running");
  }

  /** Takes leave of the others. */
  stop(): void {
    clearInterval(this.#timer);
    this.#subscription?.stop();
    this.#say("gone");
  }

  /** This one first, then the others in the order of their names. */
  replicas(): KnownReplica[] {
    const { id, version, revision, now } = this.#options;
    const nowMs = now();
    const others = [...this.#others.values()].filter(({ heardMs }) => nowMs - heardMs <= SILENCE_MAX_MS);
    const own: KnownReplica = {
      id,
      version,
      revision: revision(),
      startedAt: this.#startedAt,
      skewMs: 0,
      ...this.#fault(),
    };
    return [own, ...others.map(({ replica }) => replica).sort((a, b) => (a.id < b.id ? -1 : 1))];
  }

  #hear(data: Uint8Array): void {
    const parsed = heartbeat.safeParse(parseJson(data));
    if (!parsed.success || parsed.data.id === this.#options.id) return;
    const { id, version, revision, startedAt, timeMs, state, cannotSign } = parsed.data;
    if (state === "gone") {
      this.#others.delete(id);
      return;
    }
    const nowMs = this.#options.now();
    const isNew = !this.#others.has(id);
    for (const [known, { heardMs }] of this.#others) if (nowMs - heardMs > SILENCE_MAX_MS) this.#others.delete(known);
    if (isNew && this.#others.size >= REPLICAS_MAX) return;
    const fault = cannotSign === undefined ? {} : { cannotSign };
    const replica = { id, version, revision, startedAt, skewMs: timeMs - nowMs, ...fault };
    this.#others.set(id, { replica, heardMs: nowMs });
    // Who is new has not heard of us yet.
    if (isNew) this.#say("running");
  }

  #fault(): Pick<KnownReplica, "cannotSign"> {
    const cannotSign = this.#options.cannotSign();
    return cannotSign === undefined ? {} : { cannotSign };
  }

  #say(state: Heartbeat["state"]): void {
    const { bus, id, version, revision, now } = this.#options;
    const message: Heartbeat = {
      id,
      version,
      revision: revision(),
      startedAt: this.#startedAt,
      timeMs: now(),
      state,
      ...this.#fault(),
    };
    bus.publish(subjects.replica(id), new TextEncoder().encode(JSON.stringify(message)));
  }
}
