/**
 * The transport between processes, in memory: one broker, any number of connections. It keeps what the real one
 * promises and no more: delivery in a later turn of the event loop, in order per sender, to those who are connected;
 * versioned values with compare-and-set; writes that may land although their acknowledgement is lost.
 */

import {
  type Bucket,
  type Bus,
  type BusMessage,
  type BusSubscription,
  type ConnectionEvent,
  type Entry,
  NoResponders,
  RequestTimeout,
} from "../../src/nats/bus.ts";

interface Subscriber {
  readonly bus: MemoryBus;
  readonly pattern: readonly string[];
  readonly queue: string | undefined;
  readonly onMessage: (message: BusMessage) => void;
}

interface BucketContent {
  /** Grows with every write to any key, as a stream's sequence does. */
  sequence: number;
  readonly entries: Map<string, Entry>;
  /** Every write that won, in order. */
  readonly history: Entry[];
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class MemoryBroker {
  readonly #subscribers = new Set<Subscriber>();
  readonly #buckets = new Map<string, BucketContent>();
  #inboxes = 0;

  connect(): MemoryBus {
    return new MemoryBus(this);
  }

  content(bucket: string): BucketContent {
    const content = this.#buckets.get(bucket) ?? { sequence: 0, entries: new Map(), history: [] };
    this.#buckets.set(bucket, content);
    return content;
  }

  add(subscriber: Subscriber): void {
    this.#subscribers.add(subscriber);
  }

  remove(subscriber: Subscriber): void {
    this.#subscribers.delete(subscriber);
  }

  newInbox(): string {
    this.#inboxes += 1;
    return `_INBOX.${this.#inboxes}`;
  }

  /** Hands a message to everybody who is interested when it arrives; of a queue group, to one. Returns their number. */
  deliver(subject: string, data: Uint8Array, reply: ((data: Uint8Array) => void) | undefined): number {
    const tokens = subject.split(".");
    const receivers: Subscriber[] = [];
    const queues = new Set<string>();
    for (const subscriber of this.#subscribers) {
      if (!subscriber.bus.connected || !matches(subscriber.pattern, tokens)) continue;
      const { queue } = subscriber;
      if (queue !== undefined && queues.has(queue)) continue;
      if (queue !== undefined) queues.add(queue);
      receivers.push(subscriber);
    }
    const respond = (answer: Uint8Array): boolean => {
      reply?.(answer);
      return reply !== undefined;
    };
    for (const { onMessage } of receivers) onMessage({ subject, data: data.slice(), respond });
    return receivers.length;
  }
}

/** One process's connection. */
export class MemoryBus implements Bus {
  readonly #broker: MemoryBroker;
  readonly #listeners: ((event: ConnectionEvent) => void)[] = [];
  readonly #subscribers = new Set<Subscriber>();
  #pending: (() => void)[] = [];
  #sending: Promise<void> = Promise.resolve();
  #connected = true;

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Cuts the connection: what is sent meanwhile waits, what is sent by others meanwhile is missed. */
  disconnect(): void {
    this.#connected = false;
    for (const listener of this.#listeners) listener("disconnected");
  }

  reconnect(): void {
    this.#connected = true;
    for (const send of this.#pending.splice(0)) this.#enqueue(send);
    for (const listener of this.#listeners) listener("connected");
  }

  publish(subject: string, data: Uint8Array): void {
    const copy = data.slice();
    this.#enqueue(() => void this.#broker.deliver(subject, copy, undefined));
  }

  subscribe(
    subject: string,
    onMessage: (message: BusMessage) => void,
    options: { readonly queue?: string } = {},
  ): BusSubscription {
    const subscriber = { bus: this, pattern: subject.split("."), queue: options.queue, onMessage };
    this.#subscribers.add(subscriber);
    this.#broker.add(subscriber);
    return { stop: () => this.#broker.remove(subscriber) };
  }

  async request(subject: string, data: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array> {
    const answer = Promise.withResolvers<Uint8Array>();
    const timer = setTimeout(() => answer.reject(new RequestTimeout(subject)), options.timeoutMs);
    this.#enqueue(() => {
      const receivers = this.#broker.deliver(subject, data.slice(), (reply) => answer.resolve(reply));
      if (receivers === 0) answer.reject(new NoResponders(subject));
    });
    return answer.promise.finally(() => clearTimeout(timer));
  }

  async flush(): Promise<void> {
    await this.#sending;
  }

  onConnection(listener: (event: ConnectionEvent) => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    await this.#sending;
    for (const subscriber of this.#subscribers) this.#broker.remove(subscriber);
    this.#connected = false;
    for (const listener of this.#listeners) listener("closed");
  }

  bucket(name: string): MemoryBucket {
    return new MemoryBucket(this, this.#broker.content(name));
  }

  #enqueue(send: () => void): void {
    this.#sending = this.#sending.then(nextTurn).then(() => {
      if (this.#connected) send();
      else this.#pending.push(send);
    });
  }
}

/** A bucket as one connection sees it. */
export class MemoryBucket implements Bucket {
  readonly #bus: MemoryBus;
  readonly #content: BucketContent;
  /** Writes that are done and not acknowledged: the connection breaks in between. */
  acknowledgementsToLose = 0;

  get history(): readonly Entry[] {
    return this.#content.history;
  }

  constructor(bus: MemoryBus, content: BucketContent) {
    this.#bus = bus;
    this.#content = content;
  }

  async get(key: string): Promise<Entry | undefined> {
    await this.#roundTrip();
    const entry = this.#content.entries.get(key);
    return entry === undefined ? undefined : copyOf(entry);
  }

  async put(key: string, value: Uint8Array): Promise<number> {
    await this.#roundTrip();
    return this.#acknowledge(this.#write(key, value));
  }

  async update(key: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    await this.#roundTrip();
    if ((this.#content.entries.get(key)?.revision ?? 0) !== expected) return undefined;
    return this.#acknowledge(this.#write(key, value));
  }

  async delete(key: string): Promise<void> {
    await this.#roundTrip();
    this.#content.sequence += 1;
    this.#content.entries.delete(key);
  }

  async entries(): Promise<Entry[]> {
    await this.#roundTrip();
    return [...this.#content.entries.values()].map(copyOf);
  }

  #write(key: string, value: Uint8Array): number {
    this.#content.sequence += 1;
    const entry = { key, value: value.slice(), revision: this.#content.sequence };
    this.#content.entries.set(key, entry);
    this.#content.history.push(entry);
    return entry.revision;
  }

  #acknowledge(revision: number): number {
    if (this.acknowledgementsToLose === 0) return revision;
    this.acknowledgementsToLose -= 1;
    throw new Error("the connection was lost");
  }

  async #roundTrip(): Promise<void> {
    await nextTurn();
    if (!this.#bus.connected) throw new Error("not connected");
  }
}

function copyOf(entry: Entry): Entry {
  return { ...entry, value: entry.value.slice() };
}

/** NATS subjects: `*` is one token, `>` is one or more at the end. */
function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [index, token] of pattern.entries()) {
    if (token === ">") return subject.length > index;
    if (index >= subject.length || (token !== "*" && token !== subject[index])) return false;
  }
  return pattern.length === subject.length;
}
