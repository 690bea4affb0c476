/**
 * A bus that is there before its first connection is: for a sidecar, which starts from what it has on disk while NATS
 * is away. Until then subscriptions wait, what is published is lost (as it would be with nobody listening), and
 * requests wait as long as they may.
 */

import { type BucketReader, directReader } from "./buckets.ts";
import { type Bus, type BusMessage, type BusSubscription, type ConnectionEvent, NoResponders } from "./bus.ts";
import type { NatsBus } from "./nats-bus.ts";

interface WaitingSubscription {
  readonly subject: string;
  readonly onMessage: (message: BusMessage) => void;
  readonly options: { readonly queue?: string } | undefined;
  real: BusSubscription | undefined;
}

export class LateBus implements Bus {
  #bus: NatsBus | undefined;
  readonly #arrival = Promise.withResolvers<void>();
  readonly #waiting = new Set<WaitingSubscription>();
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();

  /** The connection has come about: whatever waited begins. */
  arrived(bus: NatsBus): void {
    this.#bus = bus;
    for (const waiting of this.#waiting) {
      waiting.real = bus.subscribe(waiting.subject, waiting.onMessage, waiting.options);
    }
    this.#waiting.clear();
    for (const listener of this.#listeners) {
      bus.onConnection(listener);
      listener("connected");
    }
    this.#listeners.clear();
    this.#arrival.resolve();
  }

  get connected(): boolean {
    return this.#bus?.connected ?? false;
  }

  publish(subject: string, data: Uint8Array): void {
    this.#bus?.publish(subject, data);
  }

  subscribe(
    subject: string,
    onMessage: (message: BusMessage) => void,
    options?: { readonly queue?: string },
  ): BusSubscription {
    if (this.#bus !== undefined) return this.#bus.subscribe(subject, onMessage, options);
    const waiting: WaitingSubscription = { subject, onMessage, options, real: undefined };
    this.#waiting.add(waiting);
    return {
      stop: () => {
        this.#waiting.delete(waiting);
        waiting.real?.stop();
      },
    };
  }

  request(subject: string, data: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array> {
    return this.#bus?.request(subject, data, options) ?? this.#requestLater(subject, data, options);
  }

  flush(): Promise<void> {
    return this.#bus?.flush() ?? Promise.resolve();
  }

  onConnection(listener: (event: ConnectionEvent) => void): void {
    if (this.#bus === undefined) this.#listeners.add(listener);
    else this.#bus.onConnection(listener);
  }

  close(): Promise<void> {
    return this.#bus?.close() ?? Promise.resolve();
  }

  /** Waits for the connection, out of the time that the request has. */
  async #requestLater(
    subject: string,
    data: Uint8Array,
    { timeoutMs }: { readonly timeoutMs: number },
  ): Promise<Uint8Array> {
    const startMs = performance.now();
    const arrived = await Promise.race([
      this.#arrival.promise.then(() => true),
      new Promise<boolean>((resolve) => setTimeout(resolve, timeoutMs, false).unref()),
    ]);
    const bus = this.#bus;
    if (!arrived || bus === undefined) throw new NoResponders("not connected to NATS yet");
    return bus.request(subject, data, { timeoutMs: Math.max(1, timeoutMs - (performance.now() - startMs)) });
  }

  /** Reads single keys of a bucket; rejects until the connection is there. */
  reader(bucket: string): BucketReader {
    return {
      get: (key) => {
        if (this.#bus === undefined) return Promise.reject(new NoResponders("not connected to NATS yet"));
        return directReader(this.#bus, bucket).get(key);
      },
    };
  }
}
