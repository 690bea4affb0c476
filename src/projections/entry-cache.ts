/**
 * What this process believes to be in a bucket that several processes write, one entry per service. The belief may be
 * out of date; it is checked where it matters, since every write names the entry that it replaces.
 */

import type { Bucket, Entry } from "../nats/bus.ts";
import { parseServiceRef, type ServiceRef, serviceRef } from "../policy/names.ts";
import type { ServiceName } from "./call-graph.ts";

interface Known<D> {
  /** The bucket's sequence: what the next write must expect. */
  readonly revision: number;
  readonly description: D;
}

/** The key of a service in the buckets that sidecars read. */
function serviceKey({ namespace, name }: ServiceName): string {
  return `${namespace}.${name}`;
}

/** `D` is what its owner needs to remember of an entry's value. */
export class EntryCache<D> {
  readonly #bucket: Bucket;
  readonly #describe: (entry: Entry) => D;
  readonly #known = new Map<ServiceRef, Known<D>>();

  constructor(bucket: Bucket, describe: (entry: Entry) => D) {
    this.#bucket = bucket;
    this.#describe = describe;
  }

  /** What is known of the entry of a service; undefined: there is none. */
  get(service: ServiceRef): D | undefined {
    return this.#known.get(service)?.description;
  }

  services(): IterableIterator<ServiceRef> {
    return this.#known.keys();
  }

  /** Reads the whole bucket; returns the services whose entry was not the one that was known. */
  async refresh(): Promise<Set<ServiceRef>> {
    const news = new Set<ServiceRef>();
    const gone = new Set(this.#known.keys());
    for (const entry of await this.#bucket.entries()) {
      const service = serviceOfKey(entry.key);
      if (service === undefined) continue;
      gone.delete(service);
      // A write of our own may have passed the reading.
      if (entry.revision <= (this.#known.get(service)?.revision ?? 0)) continue;
      this.#remember(service, entry);
      news.add(service);
    }
    for (const service of gone) {
      this.#known.delete(service);
      news.add(service);
    }
    return news;
  }

  /**
   * Replaces the entry that is known, or makes the first one. False when somebody else has written since: then nothing
   * is replaced, and the entry that is there is the known one. Rejects when the bucket is out of reach.
   */
  async replace(service: ServiceRef, value: Uint8Array, description: D): Promise<boolean> {
    const name = parseServiceRef(service);
    if (name === undefined) throw new Error(`not a service: ${service}`);
    const key = serviceKey(name);
    const revision = await this.#bucket.update(key, value, this.#known.get(service)?.revision ?? 0);
    if (revision !== undefined) {
      this.#known.set(service, { revision, description });
      return true;
    }
    const entry = await this.#bucket.get(key);
    if (entry === undefined) this.#known.delete(service);
    else this.#remember(service, entry);
    return false;
  }

  #remember(service: ServiceRef, entry: Entry): void {
    this.#known.set(service, { revision: entry.revision, description: this.#describe(entry) });
  }
}

/** The service of a key; undefined for a key that is none of ours. */
function serviceOfKey(key: string): ServiceRef | undefined {
  const [namespace = "", name = "", ...rest] = key.split(".");
  const service = serviceRef(namespace, name);
  return rest.length === 0 && parseServiceRef(service) !== undefined ? service : undefined;
}
