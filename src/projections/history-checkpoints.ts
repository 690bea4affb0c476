/**
 * Checkpoints along the whole of history, one every so many revisions, so that the mesh as it was at any revision costs
 * one checkpoint and a short tail. Which revisions have one follows from their number, so finding the nearest is a get
 * and not a search; every replica writes the same bytes, so nobody need be elected to.
 */

import type { EventLog } from "../events/log.ts";
import type { Bucket } from "../nats/bus.ts";
import { messageOf } from "./backoff.ts";
import { type Checkpoint, checkpointKey, decodeCheckpoint, encodeCheckpoint, inspectCheckpoint } from "./checkpoint.ts";
import type { Projection } from "./projection.ts";
import type { StateCodec } from "./state-codec.ts";

/**
 * Revisions from one checkpoint to the next. The tail then takes some tens of milliseconds to read, and of a mesh of
 * 500 services a checkpoint takes about a tenth of what the changes between two take.
 */
export const HISTORY_EVERY = 1_000;

/** Whose history, and where its checkpoints are. */
export interface HistorySource<S> {
  readonly log: Pick<EventLog, "read">;
  readonly bucket: Pick<Bucket, "get">;
  readonly projection: Projection<S>;
  readonly codec: StateCodec<S>;
  /** Told of every checkpoint that is there and of no use. */
  readonly warn: (message: string) => void;
  /** Revisions between two checkpoints. */
  readonly every?: number;
}

/** The bucket key of the checkpoint along history of one revision. */
export function historyKey(projection: Pick<Projection<unknown>, "name" | "version">, revision: number): string {
  return `${checkpointKey(projection)}.${revision}`;
}

/**
 * The latest good checkpoint at or before a revision, held against the log; undefined where there is none, and then
 * the log is folded from its beginning. One that is damaged, or of another log, is told of and passed over. Where many
 * are missing (a control plane that has just begun to keep them), it looks back in steps that double.
 */
export async function nearestCheckpoint<S>(
  source: HistorySource<S>,
  revision: number,
): Promise<Checkpoint<S> | undefined> {
  const { every = HISTORY_EVERY, projection } = source;
  let at = revision - (revision % every);
  for (let back = every; at > 0; back *= 2) {
    const found = await verified(source, historyKey(projection, at), revision);
    if (found !== undefined) return found;
    at = at > every ? Math.max(at - back, every) : 0;
  }
  return revision < every ? undefined : verified(source, checkpointKey(projection), revision);
}

/** The checkpoint along history of that very revision; undefined where there is no good one. */
export async function checkpointAt<S>(source: HistorySource<S>, revision: number): Promise<Checkpoint<S> | undefined> {
  const found = await verified(source, historyKey(source.projection, revision), revision);
  return found?.revision === revision ? found : undefined;
}

async function verified<S>(source: HistorySource<S>, key: string, max: number): Promise<Checkpoint<S> | undefined> {
  const { bucket, projection, codec, warn } = source;
  const entry = await bucket.get(key);
  if (entry === undefined) return undefined;
  const decoded = decodeCheckpoint(projection, codec, entry.value);
  if (decoded.ok && decoded.value.revision > max) return undefined;
  const objection = decoded.ok ? await foreign(source, decoded.value) : decoded.error;
  if (decoded.ok && objection === undefined) return decoded.value;
  warn(`the checkpoint ${key} is passed over: ${objection}`);
  return undefined;
}

/** Why a checkpoint is not of this log, if it is not. */
async function foreign(
  { log }: Pick<HistorySource<never>, "log">,
  { revision, hash }: Pick<Checkpoint<unknown>, "revision" | "hash">,
): Promise<string | undefined> {
  for await (const change of log.read({ from: revision, to: revision })) if (change.hash === hash) return undefined;
  return `the log does not hold at revision ${revision} what it was made of`;
}

export interface HistoryKeeperOptions<S> extends HistorySource<S> {
  readonly log: Pick<EventLog, "read" | "lastRevision">;
  readonly bucket: Pick<Bucket, "get" | "put" | "delete">;
}

/** Writes the checkpoints along history: as changes come, and, of what is there already, whatever is not good. */
export class HistoryKeeper<S> {
  readonly #options: HistoryKeeperOptions<S>;
  readonly #every: number;
  readonly #writing = new Set<Promise<void>>();
  #filling: Promise<void> = Promise.resolve();
  /** The last revision up to which they are known to be there. */
  #filled = 0;
  /** What the next one is made from: the last that was folded, or a later one that was found good, as it is stored. */
  #base: Checkpoint<S>;
  #good: Uint8Array | undefined;
  #stopped = false;

  constructor(options: HistoryKeeperOptions<S>) {
    this.#options = options;
    this.#every = options.every ?? HISTORY_EVERY;
    this.#base = { revision: 0, hash: "", state: options.projection.initial };
  }

  /** A change was folded. What is not written now is written by the next replica that starts. */
  recorded(state: S, { revision, hash }: Pick<Checkpoint<S>, "revision" | "hash">): void {
    if (revision % this.#every !== 0 || this.#stopped) return;
    const writing = this.#write({ revision, hash, state }).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  /**
   * Goes through history beside everything else, and makes again what is missing or no good. Once more, it goes on from
   * where it has been.
   */
  start(): void {
    const filling = this.#filling.then(() => this.#fill());
    this.#filling = filling.catch((error: unknown) => {
      this.#options.warn(`checkpoints along history are not complete: ${messageOf(error)}`);
    });
  }

  /** Resolves when `start` has been through history, and what is due is written. */
  async settled(): Promise<void> {
    await this.#filling;
    await Promise.all(this.#writing);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.settled();
  }

  async #fill(): Promise<void> {
    const { log, projection, bucket, codec } = this.#options;
    const last = await log.lastRevision();
    for (let at = this.#filled + this.#every; at <= last && !this.#stopped; at += this.#every) {
      const value = (await bucket.get(historyKey(projection, at)))?.value;
      if (value !== undefined && (await this.#isGood(at, value))) {
        this.#good = value;
      } else {
        const decoded = this.#good && decodeCheckpoint(projection, codec, this.#good);
        if (decoded?.ok === true) this.#base = decoded.value;
        this.#good = undefined;
        this.#base = await this.#foldTo(this.#base, at);
        if (this.#base.revision !== at) return;
        await this.#write(this.#base);
      }
      this.#filled = at;
    }
    await this.#forgetOldVersions(last);
  }

  async #isGood(at: number, value: Uint8Array): Promise<boolean> {
    const { projection, warn } = this.#options;
    const inspected = inspectCheckpoint(projection, value);
    let objection = inspected.ok ? await foreign(this.#options, inspected.value) : inspected.error;
    if (inspected.ok && inspected.value.revision !== at) objection = `it is of revision ${inspected.value.revision}`;
    if (objection === undefined) return true;
    warn(`the checkpoint ${historyKey(projection, at)} is made again: ${objection}`);
    return false;
  }

  /** Short of `to` only when stopped on the way. */
  async #foldTo(base: Checkpoint<S>, to: number): Promise<Checkpoint<S>> {
    const { log, projection } = this.#options;
    const step = projection.folder?.() ?? projection.evolve;
    let { revision, hash, state } = base;
    for await (const change of log.read({ from: revision + 1, to })) {
      if (this.#stopped) break;
      state = step(state, change);
      ({ revision, hash } = change);
    }
    return { revision, hash, state };
  }

  async #write(checkpoint: Checkpoint<S>): Promise<void> {
    const { projection, codec, bucket, warn } = this.#options;
    const key = historyKey(projection, checkpoint.revision);
    try {
      await bucket.put(key, encodeCheckpoint(projection, codec, checkpoint));
    } catch (error) {
      warn(`the checkpoint ${key} was not written: ${messageOf(error)}`);
    }
  }

  /** The version before is kept: during an upgrade its replicas and readers are still there. */
  async #forgetOldVersions(last: number): Promise<void> {
    const { projection, bucket } = this.#options;
    for (let version = projection.version - 2; version > 0; version--) {
      for (let at = this.#every; at <= last && !this.#stopped; at += this.#every) {
        const key = historyKey({ name: projection.name, version }, at);
        if ((await bucket.get(key)) === undefined) break;
        await bucket.delete(key);
      }
    }
  }
}
