/**
 * Following a stream without a consumer: a hint that something was stored, and reads by sequence from where we stand.
 * The sequence is our own count, so a lost hint delays a message (until the next hint, reconnect or look) but cannot
 * skip or repeat one.
 */

import type { NatsBus } from "./nats-bus.ts";
import { isTransient, readSome, type StoredMessage } from "./stream-client.ts";

/** How long a lost hint can go unnoticed. */
const LOOK_INTERVAL_MS = 5_000;

export interface FollowOptions {
  readonly stream: string;
  /** Subject of the hints. */
  readonly hints: string;
  /** First sequence to deliver. */
  readonly from: number;
  readonly lastSequence: () => Promise<number>;
  /** Called with one message at a time; a rejection ends the following. */
  readonly onMessage: (message: StoredMessage) => void | Promise<void>;
}

export interface Following {
  /** Settles when it has ended; rejects when it ended by a fault. */
  readonly closed: Promise<void>;
  stop(): void;
}

/** Starts to follow. Outlives lost connections; ends by `stop`, by the handler's failure, or with the bus. */
export function follow(bus: NatsBus, options: FollowOptions): Following {
  const bell = new Bell();
  let stopped = false;
  const subscription = bus.subscribe(options.hints, () => bell.ring());
  const forget = bus.onConnection(() => bell.ring());

  const run = async (): Promise<void> => {
    let next = options.from;
    while (!stopped) {
      // Silenced before looking: what is stored from here on rings again.
      bell.silence();
      const messages = await look(bus, options, next);
      if (messages.length === 0) {
        if (bus.client.isClosed()) throw new Error(`${options.stream}: the connection was closed`);
        await bell.rung(LOOK_INTERVAL_MS);
        continue;
      }
      for (const message of messages) {
        if (stopped) return;
        await options.onMessage(message);
        next = message.sequence + 1;
      }
    }
  };
  const closed = run().finally(() => {
    subscription.stop();
    forget();
  });
  return {
    closed,
    stop: () => {
      stopped = true;
      bell.ring();
    },
  };
}

/** What there is from `next` on, a piece of it; nothing while the server is away. */
async function look(bus: NatsBus, options: FollowOptions, next: number): Promise<StoredMessage[]> {
  try {
    const last = await options.lastSequence();
    return last < next ? [] : await readSome(bus, options.stream, next, last);
  } catch (error) {
    if (isTransient(error)) return [];
    throw error;
  }
}

/** A doorbell: rings that come before the next look count as one. */
class Bell {
  #ringing = Promise.withResolvers<void>();

  ring(): void {
    this.#ringing.resolve();
  }

  silence(): void {
    this.#ringing = Promise.withResolvers<void>();
  }

  /** Resolves at the next ring, or after the time. */
  async rung(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.ring(), timeoutMs);
    await this.#ringing.promise;
    clearTimeout(timer);
  }
}
