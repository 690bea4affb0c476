/**
 * Roll-ups of the traffic ledger, one for so many reports, under names that can be worked out: whoever asks about a day
 * reads some dozens of them, and reports only at either end. Every replica makes the same of the same reports, so that
 * nobody need be elected; the ledger itself stays what counts, and where there is no good roll-up it is read.
 */

import { createHash } from "node:crypto";
import type { Bucket } from "../nats/bus.ts";
import type { NatsBus } from "../nats/nats-bus.ts";
import type { StoredMessage } from "../nats/stream-client.ts";
import { readTraffic, type TrafficRange, trafficExtent, trafficMessage } from "../nats/traffic-stream.ts";
import { messageOf } from "../projections/backoff.ts";
import { checkpointKey, decodeCheckpoint, encodeCheckpoint } from "../projections/checkpoint.ts";
import {
  type KnownReport,
  ROLLUP_REPORTS,
  RollupBuilder,
  rollupCodec,
  TRAFFIC_ROLLUP,
  type TrafficRollup,
} from "../replay/traffic-rollup.ts";
import { decodeTrafficSummary } from "../telemetry/traffic-summary.ts";

/** Later roll-ups take the places of earlier ones: more than the ledger's own bounds let it hold reports for. */
const PLACES = 2_048;
/** How long a stretch that is complete may wait for its roll-up. */
const LOOK_INTERVAL_MS = 30_000;

/** Where the roll-ups are, and of which ledger. */
export interface RollupSource {
  readonly bus: NatsBus;
  readonly bucket: Pick<Bucket, "get">;
  /** Told of a roll-up that is there and of no use. */
  readonly warn: (message: string) => void;
  /** Reports in a roll-up. */
  readonly size?: number;
}

/** The bucket key of the roll-up of the `index`th stretch, from 0. */
export function rollupKey(index: number): string {
  return `${checkpointKey(TRAFFIC_ROLLUP)}.${index % PLACES}`;
}

/** Stretches, by index, that lie within a range as a whole: the first, and the one after the last. */
export function wholeStretches({ from, to }: TrafficRange, size = ROLLUP_REPORTS): { first: number; end: number } {
  return { first: Math.ceil((from - 1) / size), end: Math.floor(to / size) };
}

/** The roll-up of a stretch; undefined where there is none, or none of this very ledger. */
export async function readRollup(source: RollupSource, index: number): Promise<TrafficRollup | undefined> {
  const { bus, bucket, warn, size = ROLLUP_REPORTS } = source;
  const entry = await bucket.get(rollupKey(index));
  if (entry === undefined) return undefined;
  const decoded = decodeCheckpoint(TRAFFIC_ROLLUP, rollupCodec, entry.value);
  if (!decoded.ok) {
    warn(`the roll-up ${entry.key} of the traffic ledger is passed over: ${decoded.error}`);
    return undefined;
  }
  const { revision, hash, state } = decoded.value;
  // Its place was that of an earlier one, or already is that of a later one.
  if (state.from !== index * size + 1 || revision !== (index + 1) * size) return undefined;
  const last = await trafficMessage(bus, revision);
  if (last === undefined) return undefined;
  if (hashOf(last) === hash) return state;
  warn(`the roll-up ${entry.key} of the traffic ledger is passed over: it is of other reports`);
  return undefined;
}

/** Of a message where it is: the same bytes in a stream that was made anew are another one. */
function hashOf({ data, storedAt }: StoredMessage): string {
  return createHash("sha256").update(storedAt).update(data).digest("hex");
}

export interface RollupKeeperOptions extends RollupSource {
  readonly bucket: Pick<Bucket, "get" | "put">;
  readonly lookIntervalMs?: number;
}

/** Writes the roll-ups that are missing or damaged, and a new one whenever a stretch of reports is complete. */
export class RollupKeeper {
  readonly #options: RollupKeeperOptions;
  readonly #size: number;
  readonly #stopping = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** The first stretch that was not looked at yet. */
  #next = 0;

  constructor(options: RollupKeeperOptions) {
    this.#options = options;
    this.#size = options.size ?? ROLLUP_REPORTS;
  }

  start(): void {
    this.#looking = this.look()
      .catch((error: unknown) => this.#options.warn(`roll-ups of the traffic ledger are late: ${messageOf(error)}`))
      .finally(() => {
        if (this.#stopping.signal.aborted) return;
        this.#timer = setTimeout(() => this.start(), this.#options.lookIntervalMs ?? LOOK_INTERVAL_MS);
      });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#looking;
  }

  /** Sees to every stretch that is complete. Rejects where NATS is out of reach; the next look goes on from there. */
  async look(): Promise<void> {
    const extent = await trafficExtent(this.#options.bus);
    if (extent === undefined) return;
    const { first, end } = wholeStretches(extent, this.#size);
    // A stream that was made anew begins again at 1.
    if (this.#next > end) this.#next = 0;
    let before: readonly KnownReport[] | undefined;
    for (let index = Math.max(first, this.#next, end - PLACES); index < end; index++) {
      if (this.#stopping.signal.aborted) return;
      const rollup = (await readRollup(this.#options, index)) ?? (await this.#make(index, before));
      // It may be that the reports of a moment ago are not yet where they are read.
      if (rollup === undefined && index === end - 1) return;
      before = rollup?.known;
      this.#next = index + 1;
    }
  }

  async #make(index: number, before: readonly KnownReport[] | undefined): Promise<TrafficRollup | undefined> {
    const { bucket, warn } = this.#options;
    const { builder, number, last } = await this.#addUp(index, before ?? (await this.#knownAfter(index - 1)));
    // Forgotten meanwhile, or not yet where it is read. Where there is no roll-up, reports are read.
    if (last === undefined || number < this.#size) return undefined;
    const rollup = builder.rollup();
    const checkpoint = { revision: last.sequence, hash: hashOf(last), state: rollup };
    try {
      await bucket.put(rollupKey(index), encodeCheckpoint(TRAFFIC_ROLLUP, rollupCodec, checkpoint));
    } catch (error) {
      warn(`the roll-up ${rollupKey(index)} of the traffic ledger was not written: ${messageOf(error)}`);
    }
    return rollup;
  }

  async #knownAfter(index: number): Promise<readonly KnownReport[]> {
    if (index < 0) return [];
    return (await readRollup(this.#options, index))?.known ?? (await this.#addUp(index, [])).builder.known();
  }

  /** What there is of a stretch. */
  async #addUp(index: number, before: readonly KnownReport[]) {
    const from = index * this.#size + 1;
    const builder = new RollupBuilder(from, before);
    let [number, last]: [number, StoredMessage | undefined] = [0, undefined];
    for await (const message of readTraffic(this.#options.bus, { from, to: from + this.#size - 1 })) {
      builder.add(message.subject, decodeTrafficSummary(message.data));
      [number, last] = [number + 1, message];
    }
    return { builder, number, last };
  }
}
