/**
 * Listens to the heartbeats of the whole mesh and publishes each service's endpoints: the durable set first, then the
 * push. Every control replica does this on its own; they agree through the bucket.
 */

import type { Bucket, Bus, BusMessage, BusSubscription, Entry } from "../nats/bus.ts";
import { subjects } from "../nats/subjects.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseServiceRef, type ServiceRef, serviceRef } from "../policy/names.ts";
import { Allowances } from "./allowances.ts";
import { messageOf } from "./backoff.ts";
import { Coalescer } from "./coalescer.ts";
import { INSTANCE_TTL_MS, INSTANCES_PER_SERVICE, InstanceRegistry } from "./endpoints.ts";
import { EntryCache } from "./entry-cache.ts";
import { Hearing } from "./hearing.ts";
import { type Endpoint, type EndpointSet, endpointSet, type InstanceStatus, instanceStatus } from "./snapshot.ts";

/** Why a status was not taken in. */
export type StatusRefusal = "full" | "rate" | "unreadable";

export interface EndpointPublisherOptions {
  readonly bus: Bus;
  /** The connection on which workloads are heard, so that their messages hold up nothing else. `bus` by default. */
  readonly heard?: Bus;
  /** `ENDPOINT_BUCKET`. */
  readonly bucket: Bucket;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  readonly warn: (message: string) => void;
  /** Told of every good status, after the registry has taken it in: what waits for a revision looks here. */
  readonly onStatus?: (status: InstanceStatus) => void;
  /** Told of every status that was not taken in. */
  readonly onRefused?: (reason: StatusRefusal) => void;
  /** Instances of one service that are kept. */
  readonly instancesPerService?: number;
  /** Silence after which an instance is taken for dead. */
  readonly ttlMs?: number;
  /** How often the bucket is compared with the registry. */
  readonly reconcileEveryMs?: number;
  /** Uniform in [0, 1); spreads further tries. */
  readonly random?: () => number;
}

/** Bounds how long a set may stand that another replica wrote from a narrower view and then died. */
const RECONCILE_EVERY_MS = 60_000;

/** Writes of one key that may lose in a row before a pause; each loss means that another replica has just written. */
const RACES_MAX = 8;

/** Silence is looked for this many times within one life. */
const EXPIRIES_PER_TTL = 5;

/**
 * Statuses of one service: a heartbeat of each of 2,000 instances every five seconds, and all of them at once when
 * policy changes. What is beyond is dropped unread.
 */
const STATUS_RATE = { burst: 8_000, perSecond: 800 };
/** Of one status, bytes; labels and what it avoids included. */
const STATUS_BYTES_MAX = 64 * 1024;

/** How often one service's set is written and pushed; if its instances change faster, it is updated every second. */
const WRITE_RATE = { burst: 50, perSecond: 5 };
const WRITE_PAUSE_MS = 1_000;

/** Different complaints about one service that are logged, once each: bad messages must not flood the log. */
const COMPLAINTS_MAX = 20;
/** Services whose complaints are remembered. */
const COMPLAINED_SERVICES_MAX = 10_000;

/** What is remembered of a stored set. */
interface Stored {
  readonly version: number;
  /** Undefined where the entry cannot be read, which any set replaces. */
  readonly endpoints: readonly Endpoint[] | undefined;
}

/** A service without endpoints needs no entry to say so. */
const NEVER_STORED: Stored = { version: 0, endpoints: [] };

export class EndpointPublisher {
  /** Who is alive, as this replica has heard. */
  readonly registry: InstanceRegistry;
  readonly #options: EndpointPublisherOptions;
  readonly #ttlMs: number;
  readonly #stored: EntryCache<Stored>;
  readonly #writes: Coalescer<ServiceRef>;
  readonly #hearing: Hearing;
  readonly #heard: Bus;
  readonly #complaints = new Map<ServiceRef, Set<string>>();
  readonly #statuses = new Allowances<ServiceRef>(STATUS_RATE);
  readonly #sets = new Allowances<ServiceRef>(WRITE_RATE);
  /** Services whose set waits for its turn. */
  readonly #paused = new Map<ServiceRef, ReturnType<typeof setTimeout>>();
  #lastLookMs = 0;
  #stopped = false;
  #subscription: BusSubscription | undefined;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(options: EndpointPublisherOptions) {
    this.#options = options;
    this.#ttlMs = options.ttlMs ?? INSTANCE_TTL_MS;
    this.#heard = options.heard ?? options.bus;
    this.#hearing = new Hearing(this.#heard);
    this.registry = new InstanceRegistry(this.#ttlMs, options.instancesPerService);
    this.#stored = new EntryCache(options.bucket, (entry) => this.#describe(entry));
    this.#writes = new Coalescer({
      work: (ref) => this.#write(ref),
      warn: options.warn,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
  }

  /**
   * Reads the stored sets, whose instances are presumed alive, then listens. Rejects when the bucket is out of reach.
   */
  async start(): Promise<void> {
    const { now, reconcileEveryMs = RECONCILE_EVERY_MS } = this.#options;
    await this.#readStored();
    if (this.#stopped) return;
    this.#lastLookMs = now();
    this.#subscription = this.#heard.subscribe(subjects.allStatus, (message) => this.#hear(message));
    this.#heard.onConnection((event) => {
      if (event !== "connected" || this.#stopped) return;
      this.registry.touchAll(now());
      void this.reconcile();
    });
    this.#timers = [
      setInterval(() => this.expire(), this.#ttlMs / EXPIRIES_PER_TTL),
      setInterval(() => void this.reconcile(), reconcileEveryMs),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Takes silent instances out. Called by its own timer; public so that time can be given in a test. */
  expire(): void {
    const nowMs = this.#options.now();
    const lateMs = nowMs - this.#lastLookMs;
    this.#lastLookMs = nowMs;
    // Cut off, suspended, or with the clock set forward: it was we who did not hear.
    if (!this.#hearing.look() || lateMs > this.#ttlMs) this.registry.touchAll(nowMs);
    else this.#writes.mark(this.registry.expire(nowMs, this.#ttlMs));
  }

  /** Looks for sets that others wrote, and writes what this replica knows better. Never rejects. */
  async reconcile(): Promise<void> {
    if (this.#stopped) return;
    try {
      this.#writes.mark(await this.#readStored());
    } catch (error) {
      this.#options.warn(`stored endpoints could not be compared: ${messageOf(error)}`);
    }
  }

  /** Resolves when every set that is due has been written and pushed. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#subscription?.stop();
    for (const timer of this.#timers) clearInterval(timer);
    for (const timer of this.#paused.values()) clearTimeout(timer);
    await this.#writes.stop();
  }

  /**
   * Returns the services whose stored set is not the one that was known. Who stands in it and has not been heard here
   * is presumed alive: another replica has heard it while this one was away, and will be right until its life ends.
   */
  async #readStored(): Promise<Set<ServiceRef>> {
    const news = await this.#stored.refresh();
    const nowMs = this.#options.now();
    for (const ref of news) this.registry.presume(ref, this.#stored.get(ref)?.endpoints ?? [], nowMs);
    return news;
  }

  #hear({ subject, data }: BusMessage): void {
    // The server lets a workload publish under its own names only: the subject is who speaks, the body must agree.
    const [, , namespace = "", service = ""] = subject.split(".");
    const ref = serviceRef(namespace, service);
    if (!this.#statuses.take(ref, this.#options.now())) {
      this.#refuse("rate", ref, `${ref} says more than ${STATUS_RATE.perSecond} statuses a second: some are dropped`);
      return;
    }
    const status = readStatus(data);
    if (status === undefined || subjects.status(status.namespace, status.service, status.instance) !== subject) {
      this.#refuse("unreadable", ref, `a status on ${subject} was not understood`);
      return;
    }
    const observation = this.registry.observe(status, this.#options.now());
    if (observation === "full") {
      this.#refuse("full", ref, this.#fullText(ref));
      return;
    }
    const rivals = this.registry.rivalsOf(ref, status.instance, this.#options.now());
    if (rivals.length > 0) this.#complain(ref, rivalText(ref, status.instance, rivals));
    // What is said of a process that nobody is sent to must not pass for the instance's word.
    if (observation === "rival") return;
    if (observation === "changed") this.#writes.mark([ref]);
    this.#options.onStatus?.(status);
  }

  #refuse(reason: StatusRefusal, ref: ServiceRef, message: string): void {
    this.#options.onRefused?.(reason);
    this.#complain(ref, message);
  }

  #fullText(ref: ServiceRef): string {
    const kept = this.#options.instancesPerService ?? INSTANCES_PER_SERVICE;
    return `${ref} has ${kept} instances, as many as are kept: further ones get no traffic. Where a token invents them, revoke it (heddle token list); where they are real, start control with a larger --instances-per-service`;
  }

  /** Heartbeats repeat themselves; complaints about them do not. */
  #complain(ref: ServiceRef, message: string): void {
    const said = this.#complaints.get(ref) ?? new Set();
    if (said.has(message) || said.size >= COMPLAINTS_MAX) return;
    if (said.size === 0 && this.#complaints.size >= COMPLAINED_SERVICES_MAX) return;
    this.#complaints.set(ref, said.add(message));
    this.#options.warn(message);
  }

  async #write(ref: ServiceRef): Promise<void> {
    const service = parseServiceRef(ref);
    if (service === undefined) return;
    const { bus, now } = this.#options;
    if (!this.#mayWrite(ref)) return;
    for (let race = 0; race < RACES_MAX; race++) {
      const endpoints = this.registry.endpointsOf(ref);
      const stored = this.#stored.get(ref) ?? NEVER_STORED;
      if (stored.endpoints !== undefined && canonicalJson(stored.endpoints) === canonicalJson(endpoints)) return;
      // Also grows where the bucket was lost with all its versions: sidecars drop a set that is older than theirs.
      const version = Math.max(stored.version + 1, now());
      const set: EndpointSet = { ...service, version, endpoints };
      const bytes = new TextEncoder().encode(canonicalJson(set));
      if (await this.#stored.replace(ref, bytes, { version, endpoints })) {
        bus.publish(subjects.endpoints(service.namespace, service.name), bytes);
        return;
      }
    }
    throw new Error(`${RACES_MAX} writes of the endpoints of ${ref} came too late`);
  }

  /** False where it is to be done later. */
  #mayWrite(ref: ServiceRef): boolean {
    if (this.#paused.has(ref)) return false;
    if (this.#sets.take(ref, this.#options.now())) return true;
    const goOn = (): void => {
      this.#paused.delete(ref);
      this.#writes.mark([ref]);
    };
    this.#paused.set(ref, setTimeout(goOn, WRITE_PAUSE_MS));
    return false;
  }

  #describe({ key, value }: Entry): Stored {
    try {
      return endpointSet.parse(JSON.parse(new TextDecoder().decode(value)));
    } catch (error) {
      this.#options.warn(`the stored endpoints ${key} cannot be read and will be replaced: ${messageOf(error)}`);
      return { version: 0, endpoints: undefined };
    }
  }
}

function rivalText(service: ServiceRef, instance: string, rivals: readonly string[]): string {
  return `several sidecars of ${service} go by the name ${instance}; callers are not sent to ${rivals.join(", ")}: start it with another --instance`;
}

function readStatus(data: Uint8Array): InstanceStatus | undefined {
  if (data.length > STATUS_BYTES_MAX) return undefined;
  try {
    return instanceStatus.safeParse(JSON.parse(new TextDecoder().decode(data))).data;
  } catch {
    return undefined;
  }
}
