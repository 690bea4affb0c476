/**
 * Connections to one address, shared by all requests that go there. HTTP/1.1 connections carry one request at a time,
 * HTTP/2 ones many; `capacity` is all that the pool asks of either.
 */

import type { PeerIdentity } from "../../ca/workload/svid.ts";
import type { ClientConnection } from "../codec/message.ts";
import type { Address } from "../io/address.ts";
import { dial, type PeerTls } from "../io/dial.ts";
import { Timer } from "../io/timers.ts";
import type { ApplicationProtocol } from "../io/tls.ts";
import type { Wire } from "../io/wire.ts";
import type { Runtime } from "../runtime.ts";

/**
 * Why no connection came about.
 * - `overflow`: too many wait already.
 * - `removed`: the address left the mesh before there was one; another may do.
 */
export type NoConnection = "overflow" | "removed" | "connect_failure" | "connect_timeout";

/** Somebody who needs a connection. Exactly one of the two is called, unless `cancel` comes first. */
export interface PoolWaiter {
  /** True: policy's bound on who waits counts it not, nor asks it. */
  readonly isCopy?: boolean;
  onConnection(connection: PooledConnection): void;
  /** `detail`: lower_snake_case for logs. */
  onNoConnection(reason: NoConnection, detail: string): void;
}

export interface PoolOptions {
  readonly address: Address;
  readonly runtime: Runtime;
  /** Asked at every dial, so that a new connection shows the certificate of the moment. Absent: plain TCP. */
  readonly tls?: (() => PeerTls | "plaintext" | undefined) | undefined;
  /** Asked before a request waits here, and before a connection beyond the first is opened. Absent: they may. */
  readonly mayWait?: () => boolean;
  readonly mayDial?: (isForCopies: boolean) => boolean;
  /** What policy or the owner sets otherwise than the limits do; asked each time, since policy changes. */
  readonly bounds?: () => PoolBounds;
  /** What is spoken over plain TCP, and what is expected of ALPN under TLS. */
  readonly protocol: ApplicationProtocol;
  /** A connection was opened; what is returned is called when it is gone. */
  readonly onOpened?: (wire: Wire) => () => void;
}

export interface PoolBounds {
  /** TCP and TLS handshake; `connectTimeoutMs` of the limits by default. */
  readonly connectTimeoutMs?: number | undefined;
  /** Connections without a request are closed after this time; `upstreamIdleTimeoutMs` of the limits by default. */
  readonly idleTimeoutMs?: number | undefined;
  /** After so many a connection takes no more and ends; absent: any number. */
  readonly maxRequestsPerConnection?: number | undefined;
}

/** Before the peer's certificate ends, at most: enough for requests that are under way to end. */
const REPLACE_BEFORE_MS = 30_000;
/** The same as a part of the certificate's life, for a short-lived one. */
const REPLACE_BEFORE_PART = 0.1;

/** A connection made this close to the certificate's end is kept to the end: a new one would be no better. */
function replacementTime(peer: PeerIdentity | undefined, nowMs: number): number {
  if (peer === undefined) return Number.POSITIVE_INFINITY;
  const lifeMs = peer.notAfterMs - peer.notBeforeMs;
  const dueMs = peer.notAfterMs - Math.min(REPLACE_BEFORE_MS, lifeMs * REPLACE_BEFORE_PART);
  return dueMs > nowMs ? dueMs : peer.notAfterMs;
}

/** Requests that one new multiplexed connection is expected to take off the queue. */
const STREAMS_PER_DIAL = 64;

export class PooledConnection {
  /** Requests that it was given. */
  requests = 0;
  /** Stands in the pool's list of connections with capacity. */
  ready = false;
  idleSinceMs = 0;
  /** Opened for copies, and no request has come to it yet. */
  isForCopies: boolean;
  /** From when on another takes its place, before the peer's certificate ends: Unix milliseconds. */
  readonly replaceAtMs: number;
  readonly #pool: Pool;

  constructor(
    pool: Pool,
    readonly codec: ClientConnection,
    readonly wire: Wire,
    /** Who is at the other end; undefined where it did not have to prove it. */
    readonly peer: PeerIdentity | undefined,
    isForCopies: boolean,
  ) {
    this.#pool = pool;
    this.isForCopies = isForCopies;
    this.replaceAtMs = replacementTime(peer, pool.wallMs);
  }

  /** Used before: a close before any response byte is then the keep-alive race, not a failing server. */
  get reused(): boolean {
    return this.requests > 1;
  }

  /** A stream has come to its end: there may be room again. */
  streamEnded(): void {
    this.#pool.offer(this);
  }
}

export class Pool {
  readonly address: Address;
  readonly #options: PoolOptions;
  readonly #connections = new Set<PooledConnection>();
  /** Connections with capacity; the last used is the first taken, so that the others can grow idle and go. */
  readonly #ready: PooledConnection[] = [];
  /** In order of arrival. */
  readonly #waiters = new Set<PoolWaiter>();
  #copiesWaiting = 0;
  #connecting = 0;
  /** Connections that are there for copies alone, those on their way included. */
  #forCopies = 0;
  #closed = false;
  readonly #reaper: Timer;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.address = options.address;
    this.#reaper = new Timer(() => this.#reap());
  }

  /** Unix milliseconds. */
  get wallMs(): number {
    return this.#options.runtime.wallMs();
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Connections, those on their way included; not those that are there for copies alone. */
  get opened(): number {
    return this.openedWithCopies - this.#forCopies;
  }

  get openedWithCopies(): number {
    return this.#connections.size + this.#connecting;
  }

  /** Copies are not counted. */
  get pending(): number {
    return this.#waiters.size - this.#copiesWaiting;
  }

  /** Calls back at once where a connection has room, later where one must be opened. */
  acquire(waiter: PoolWaiter): void {
    const connection = this.#takeReady();
    if (connection !== undefined) {
      this.#give(connection, waiter);
      return;
    }
    if (this.#closed) {
      waiter.onNoConnection("removed", "endpoint_removed");
      return;
    }
    const { runtime, mayWait } = this.#options;
    const isCopy = waiter.isCopy === true;
    if (this.pending >= runtime.limits.pendingRequestsMax || (!isCopy && mayWait?.() === false)) {
      waiter.onNoConnection("overflow", "pending_requests");
      return;
    }
    this.#waiters.add(waiter);
    if (isCopy) this.#copiesWaiting++;
    this.#dialForWaiters();
  }

  /** Takes a waiter back. No effect once it was called. */
  cancel(waiter: PoolWaiter): void {
    if (this.#waiters.delete(waiter) && waiter.isCopy === true) this.#copiesWaiting--;
  }

  /** Lets a connection with capacity serve who waits, or keeps it ready. */
  offer(connection: PooledConnection): void {
    connection.idleSinceMs = this.#options.runtime.monotonicMs();
    if (connection.ready) return;
    while (this.#waiters.size > 0 && connection.codec.capacity > 0 && !connection.codec.retired) {
      this.#serveWaiter(connection);
    }
    if (connection.codec.retired || connection.codec.capacity === 0) {
      this.#dialForWaiters();
      return;
    }
    connection.ready = true;
    this.#ready.push(connection);
    if (!this.#reaper.armed) this.#armReaper();
  }

  /** Opens no more connections on the ones there are: each ends when its requests have. New requests dial anew. */
  retireConnections(): void {
    for (const connection of [...this.#connections]) connection.codec.drain();
  }

  /**
   * Ends at once, with all that is under way, the connections to peers no longer trusted. Returns how many there were.
   */
  closeConnections(isRefused: (peer: PeerIdentity) => boolean): number {
    const refused = [...this.#connections].filter(({ peer }) => peer !== undefined && isRefused(peer));
    for (const { wire } of refused) wire.destroy();
    return refused.length;
  }

  /** The address is gone: refuses who waits, lets requests under way finish. */
  close(): void {
    this.#closed = true;
    this.#failWaiters("removed", "endpoint_removed");
    this.retireConnections();
    this.#reaper.cancel();
  }

  get #idleTimeoutMs(): number {
    const { bounds, runtime } = this.#options;
    return bounds?.().idleTimeoutMs ?? runtime.limits.upstreamIdleTimeoutMs;
  }

  #takeReady(): PooledConnection | undefined {
    for (;;) {
      const connection = this.#ready.at(-1);
      if (connection === undefined) return undefined;
      if (this.#isEnding(connection)) {
        this.#ready.pop();
        connection.ready = false;
        connection.codec.drain();
        continue;
      }
      const usable = !connection.codec.retired && connection.codec.capacity > 0;
      // One that takes a single request at a time leaves the list with it; a multiplexed one stays until it is full.
      if (!usable || connection.codec.capacity === 1) {
        this.#ready.pop();
        connection.ready = false;
      }
      if (usable) return connection;
    }
  }

  #isEnding({ replaceAtMs }: PooledConnection): boolean {
    return replaceAtMs !== Number.POSITIVE_INFINITY && replaceAtMs <= this.#options.runtime.wallMs();
  }

  /** Requests before copies. */
  #serveWaiter(connection: PooledConnection): void {
    const onlyCopies = this.pending === 0;
    for (const waiter of this.#waiters) {
      if (waiter.isCopy === true && !onlyCopies) continue;
      this.cancel(waiter);
      this.#give(connection, waiter);
      return;
    }
  }

  #give(connection: PooledConnection, waiter: PoolWaiter): void {
    connection.requests++;
    if (connection.isForCopies && waiter.isCopy !== true) {
      connection.isForCopies = false;
      this.#forCopies--;
    }
    waiter.onConnection(connection);
    const { maxRequestsPerConnection } = this.#options.bounds?.() ?? {};
    if (maxRequestsPerConnection !== undefined && connection.requests >= maxRequestsPerConnection) {
      connection.codec.drain();
    }
  }

  /** Nobody waits for a connection that is not on its way. */
  #dialForWaiters(): void {
    // One HTTP/2 connection serves many requests: no need to open one for each that waits.
    const perDial = this.#options.protocol === "h2" ? STREAMS_PER_DIAL : 1;
    if (this.#connecting * perDial >= this.#waiters.size) return;
    // One connection is always allowed: with none, nobody here would ever be served.
    const isForCopies = this.pending === 0;
    const isFirst = (isForCopies ? this.openedWithCopies : this.opened) === 0;
    if (isFirst || this.#options.mayDial?.(isForCopies) !== false) this.#dial(isForCopies);
  }

  /** @param isForCopies only copies wait: it takes none of the room that policy gives to requests. */
  #dial(isForCopies: boolean): void {
    const { address, runtime, tls, protocol } = this.#options;
    const peer = tls?.();
    if (tls !== undefined && peer === undefined) {
      this.#failWaiters("connect_failure", "no_certificate_yet");
      return;
    }
    this.#connecting++;
    if (isForCopies) this.#forCopies++;
    let connection: PooledConnection | undefined;
    let onGone: (() => void) | undefined;
    dial({
      address,
      connectTimeoutMs: this.#options.bounds?.().connectTimeoutMs,
      runtime,
      tls: peer === "plaintext" ? undefined : peer,
      plainProtocol: protocol,
      onConnected: (codec, wire, proven) => {
        this.#connecting--;
        onGone = this.#options.onOpened?.(wire);
        connection = new PooledConnection(this, codec, wire, proven, isForCopies);
        this.#connections.add(connection);
        if (this.#closed) codec.drain();
        else this.offer(connection);
      },
      onFailed: (detail) => {
        this.#connecting--;
        if (isForCopies) this.#forCopies--;
        // Whoever waits was promised this connection; those for whom others are on their way keep waiting.
        const kind = detail === "connect_timeout" ? "connect_timeout" : "connect_failure";
        if (this.#connecting === 0) this.#failWaiters(kind, detail);
        else this.#failWaiter(kind, detail);
      },
      onClosed: () => {
        onGone?.();
        if (connection !== undefined) this.#remove(connection);
      },
    });
  }

  #remove(connection: PooledConnection): void {
    this.#connections.delete(connection);
    if (connection.isForCopies) this.#forCopies--;
    this.#dialForWaiters();
    if (!connection.ready) return;
    connection.ready = false;
    const index = this.#ready.indexOf(connection);
    if (index >= 0) this.#ready.splice(index, 1);
  }

  #failWaiters(kind: NoConnection, detail: string): void {
    // Those who come back at once, to try again, wait for the next dial.
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    this.#copiesWaiting = 0;
    for (const waiter of waiters) waiter.onNoConnection(kind, detail);
  }

  #failWaiter(kind: NoConnection, detail: string): void {
    for (const waiter of this.#waiters) {
      this.cancel(waiter);
      waiter.onNoConnection(kind, detail);
      return;
    }
  }

  #armReaper(): void {
    this.#options.runtime.timers.arm(this.#reaper, Math.max(10, this.#idleTimeoutMs / 4));
  }

  /** Closes what nobody used for a while, and takes no more requests where the peer's certificate has ended. */
  #reap(): void {
    const { runtime } = this.#options;
    const idleBeforeMs = runtime.monotonicMs() - this.#idleTimeoutMs;
    for (const connection of [...this.#ready]) {
      if (this.#isEnding(connection)) connection.codec.drain();
      else if (connection.codec.openStreams > 0) connection.idleSinceMs = runtime.monotonicMs();
      else if (connection.idleSinceMs <= idleBeforeMs) connection.codec.drain();
    }
    if (this.#ready.length > 0) this.#armReaper();
  }
}
