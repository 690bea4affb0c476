/**
 * How a snapshot gets to a worker: only what the worker has not been told before, in pieces, after each of which it turns
 * to its requests; and last what holds for all of it, which puts the whole in force.
 */

import type { ServiceSnapshot, SnapshotUpstream } from "../../../projections/snapshot.ts";
import type { WorkerOrder } from "./messages.ts";

/** Route rules that make a piece: a millisecond, or two, to validate. */
const RULES_PER_PIECE = 250;
/** An upstream costs as much as so many rules, beside its own. */
const UPSTREAM_RULES = 2;

type Upstreams = ServiceSnapshot["upstreams"];
type SnapshotOrder = Extract<WorkerOrder, { kind: "snapshot" }>;

/** @param known what the worker has been told: whatever is the same object there is not told again. */
export function snapshotOrders(snapshot: ServiceSnapshot, known: Upstreams = {}): WorkerOrder[] {
  const { upstreams, ...frame } = snapshot;
  const orders: WorkerOrder[] = [];
  let piece: Upstreams = {};
  let rules = 0;
  const close = (): void => {
    if (rules > 0) orders.push({ kind: "upstreams", upstreams: piece });
    piece = {};
    rules = 0;
  };
  for (const [ref, upstream] of Object.entries(upstreams)) {
    if (known[ref] === upstream) continue;
    piece[ref] = upstream;
    rules += UPSTREAM_RULES + upstream.routes.length;
    if (rules >= RULES_PER_PIECE) close();
  }
  close();
  return [...orders, { kind: "snapshot", snapshot: frame, upstreams: Object.keys(upstreams) }];
}

/** The worker's side. */
export class SnapshotAssembly {
  #known = new Map<string, SnapshotUpstream>();

  add(upstreams: Upstreams): void {
    for (const [ref, upstream] of Object.entries(upstreams)) this.#known.set(ref, upstream);
  }

  /** Throws where it names an upstream of which nothing was told. */
  complete({ snapshot, upstreams: refs }: SnapshotOrder): ServiceSnapshot {
    const upstreams = refs.map((ref): [string, SnapshotUpstream] => {
      const upstream = this.#known.get(ref);
      if (upstream === undefined) throw new Error(`told to enforce ${ref}, of which nothing was said`);
      return [ref, upstream];
    });
    this.#known = new Map(upstreams);
    return { ...snapshot, upstreams: Object.fromEntries(upstreams) };
  }
}
