/**
 * Runs a projection over the event log: takes up its checkpoint, folds what came since, follows what comes. All I/O
 * of projections is here; the folding itself stays pure. No change is skipped or folded twice, whatever the
 * connection does, and what cannot be understood stops the projection: a reader never acts on half a history.
 */

import type { RecordedChange } from "../events/change.ts";
import { type EventLog, LogCorruption, type LogSubscription } from "../events/log.ts";
import type { Bucket } from "../nats/bus.ts";
import { backoffMs, messageOf, pause } from "./backoff.ts";
import { type Checkpoint, checkpointKey, decodeCheckpoint, encodeCheckpoint } from "./checkpoint.ts";
import type { Projection } from "./projection.ts";
import type { StateCodec } from "./state-codec.ts";

export interface CheckpointOptions<S> {
  readonly bucket: Bucket;
  readonly codec: StateCodec<S>;
  /** Changes between two checkpoints. */
  readonly every?: number;
}

export interface RunnerOptions<S> {
  readonly log: EventLog;
  readonly projection: Projection<S>;
  /** Without it, every start folds the whole log. */
  readonly checkpoints?: CheckpointOptions<S>;
  /**
   * Called for each change that was not yet in the log when the run began; what came before is in `state`. It must
   * not throw: a fault in it stops the projection as one in `evolve` does.
   */
  readonly onChange?: (before: S, after: S, change: RecordedChange) => void;
  /** Told, in words, of everything that went wrong and was survived, and of what was not. */
  readonly warn: (message: string) => void;
  /** Uniform in [0, 1); spreads reconnections. */
  readonly random?: () => number;
}

/** A projection that follows the log. */
export interface RunningProjection<S> {
  readonly state: S;
  /** Revision of the last change folded. */
  readonly revision: number;
  /** Resolves once the change of this revision is folded; rejects when the projection fails or stops first. */
  caughtUp(revision: number): Promise<void>;
  /** Rejects when the projection has stopped by itself: an unknown event, a broken log, a bug. Never resolves. */
  readonly failed: Promise<never>;
  /** Ends the subscription and waits for a checkpoint being written. */
  stop(): Promise<void>;
}

/** A full fold of this many changes takes some tens of milliseconds: more often would cost more than it saves. */
const CHECKPOINT_EVERY = 1_000;

/**
 * Starts a projection; resolves once it has folded everything that was in the log when it was called. Rejects when
 * the log is out of reach or holds what cannot be understood.
 */
export async function runProjection<S>(options: RunnerOptions<S>): Promise<RunningProjection<S>> {
  const runner = new ProjectionRunner(options);
  await runner.start();
  return runner;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
  readonly reject: (fault: Error) => void;
}

class ProjectionRunner<S> implements RunningProjection<S> {
  readonly #options: RunnerOptions<S>;
  readonly #stopping = new AbortController();
  readonly #failure = Promise.withResolvers<never>();
  #state: S;
  #revision = 0;
  #hash = "";
  /** The last change that was in the log when the run began: until then nobody sees a state. */
  #history = 0;
  readonly #foldHistory: (state: S, change: RecordedChange) => S;
  #waiters: Waiter[] = [];
  #fault: Error | undefined;
  #subscription: LogSubscription | undefined;
  #following: Promise<void> | undefined;
  #checkpointed = 0;
  #saving: Promise<void> | undefined;
  /** Revision after which the subscription left something out, if it did: twice at one place is no accident. */
  #gapAfter: number | undefined;

  constructor(options: RunnerOptions<S>) {
    this.#options = options;
    const { projection } = options;
    this.#state = projection.initial;
    this.#foldHistory = projection.folder?.() ?? ((state, change) => projection.evolve(state, change));
    // Its owner watches `failed`; until then a failure is told by `warn` and must not end the process unasked.
    this.#failure.promise.catch(() => {});
  }

  get state(): S {
    return this.#state;
  }

  get revision(): number {
    return this.#revision;
  }

  get failed(): Promise<never> {
    return this.#failure.promise;
  }

  async start(): Promise<void> {
    this.#history = await this.#options.log.lastRevision();
    await this.#restore();
    this.#following = this.#follow();
    await this.caughtUp(this.#history);
    this.#saveWhenDue();
  }

  caughtUp(revision: number): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ revision, resolve, reject });
    return promise;
  }

  async stop(): Promise<void> {
    this.#end(new Error(`the projection ${this.#options.projection.name} was stopped`));
    await this.#following;
    await this.#saving;
  }

  /** Subscribes, and again after every loss of the subscription, until stopped. */
  async #follow(): Promise<void> {
    const { log, random = Math.random, warn } = this.#options;
    let failures = 0;
    while (this.#fault === undefined) {
      const from = this.#revision + 1;
      let reason = "it ended";
      try {
        this.#subscription = await log.subscribe(from, (change) => this.#take(change));
        if (this.#fault !== undefined) this.#subscription.stop();
        await this.#subscription.closed;
      } catch (error) {
        if (error instanceof LogCorruption) this.#fail(error);
        reason = messageOf(error);
      }
      if (this.#fault !== undefined) return;
      failures = this.#revision >= from ? 1 : failures + 1;
      warn(`subscription to the event log lost after revision ${this.#revision}, trying again: ${reason}`);
      await pause(backoffMs(failures, random), this.#stopping.signal);
    }
  }

  /** Folds one change. Throws to end a subscription that cannot be trusted any more. */
  #take(change: RecordedChange): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (change.revision <= this.#revision) return;
    if (change.revision > this.#revision + 1) this.#refuseGap(change.revision);
    const before = this.#state;
    try {
      const isHistory = change.revision <= this.#history;
      this.#state = isHistory ? this.#foldHistory(before, change) : this.#options.projection.evolve(before, change);
      this.#revision = change.revision;
      this.#hash = change.hash;
      if (!isHistory) this.#options.onChange?.(before, this.#state, change);
    } catch (error) {
      throw this.#fail(new Error(`revision ${change.revision} was not folded: ${messageOf(error)}`, { cause: error }));
    }
    this.#wake();
    if (change.revision > this.#history) this.#saveWhenDue();
  }

  /** The log refuses deletion, so its revisions have no holes: what is missing is asked for once more, then missed. */
  #refuseGap(revision: number): never {
    const missing = this.#revision + 1;
    const message = `missing from the log, which goes on with ${revision}`;
    if (this.#gapAfter === this.#revision) throw this.#fail(new LogCorruption(missing, message));
    this.#gapAfter = this.#revision;
    throw new Error(`revision ${missing} was not delivered`);
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = waiting.filter(({ revision }) => revision > this.#revision);
    for (const { revision, resolve } of waiting) if (revision <= this.#revision) resolve();
  }

  #fail(fault: Error): Error {
    this.#options.warn(`the projection ${this.#options.projection.name} has stopped: ${fault.message}`);
    this.#end(fault);
    this.#failure.reject(fault);
    return fault;
  }

  #end(reason: Error): void {
    if (this.#fault !== undefined) return;
    this.#fault = reason;
    this.#stopping.abort();
    this.#subscription?.stop();
    for (const { reject } of this.#waiters.splice(0)) reject(reason);
  }

  /** Takes up the checkpoint if there is a good one of this very log; else the state stays the initial one. */
  async #restore(): Promise<void> {
    const { checkpoints, projection, warn } = this.#options;
    if (checkpoints === undefined) return;
    try {
      const entry = await checkpoints.bucket.get(checkpointKey(projection));
      if (entry === undefined) return;
      const decoded = decodeCheckpoint(projection, checkpoints.codec, entry.value);
      const objection = decoded.ok ? await this.#objectionTo(decoded.value) : decoded.error;
      if (decoded.ok && objection === undefined) this.#adopt(decoded.value);
      else warn(`the checkpoint ${entry.key} is not taken up: ${objection}`);
    } catch (error) {
      warn(`the checkpoint of ${projection.name} could not be read: ${messageOf(error)}`);
    }
  }

  #adopt({ revision, hash, state }: Checkpoint<S>): void {
    this.#revision = revision;
    this.#hash = hash;
    this.#state = state;
    this.#checkpointed = revision;
  }

  /** Why a checkpoint is not of this log, if it is not. */
  async #objectionTo({ revision, hash }: Checkpoint<S>): Promise<string | undefined> {
    if (revision > this.#history) {
      return `it is of revision ${revision}, the log ends at ${this.#history}: it belongs to another log`;
    }
    for await (const change of this.#options.log.read({ from: revision, to: revision })) {
      if (change.hash === hash) return undefined;
    }
    return `the log holds another change at revision ${revision}: it belongs to another log`;
  }

  /** One write at a time, beside the folding: a checkpoint that is late or lost costs a longer start, nothing else. */
  #saveWhenDue(): void {
    const { checkpoints, projection, warn } = this.#options;
    if (checkpoints === undefined || this.#saving !== undefined) return;
    const revision = this.#revision;
    if (revision - this.#checkpointed < (checkpoints.every ?? CHECKPOINT_EVERY)) return;
    this.#checkpointed = revision;
    const bytes = encodeCheckpoint(projection, checkpoints.codec, { revision, hash: this.#hash, state: this.#state });
    this.#saving = checkpoints.bucket
      .put(checkpointKey(projection), bytes)
      .then(
        () => {},
        (error: unknown) => warn(`the checkpoint of revision ${revision} was not written: ${messageOf(error)}`),
      )
      .finally(() => {
        this.#saving = undefined;
      });
  }
}
