/**
 * Counts calls for the traffic ledger between two reports. Per request: the template of its path, mostly remembered,
 * and one look-up by a number. What it holds is bounded whatever clients send; calls beyond that share one entry of
 * their edge, in which method and path are `*`.
 *
 * Each call is counted once in the mesh: at its destination, and at its source only where it never left it.
 */

import type { ServiceRef } from "../policy/names.ts";
import { GRPC_GATEWAY_ERRORS, GRPC_SERVER_ERRORS } from "./grpc-errors.ts";
import { LatencySketch } from "./latency-sketch.ts";
import { ANY_PATH, PathTemplates } from "./path-template.ts";
import type { RequestRecord } from "./request-record.ts";
import { flagSet, NO_FLAGS } from "./response-flags.ts";
import { CALL_DECISIONS, type CallDecision, SUMMARY_CALLS_MAX, type TrafficCall } from "./traffic-summary.ts";

/** Who calls whom; undefined: nobody whom the mesh knows. */
export interface TrafficEdge {
  readonly reporter: "source" | "destination";
  readonly source: ServiceRef | undefined;
  readonly destination: ServiceRef | undefined;
}

export interface RecorderOptions {
  /** The path as rules read it, or undefined where they refuse to. */
  readonly normalise: (path: string) => string | undefined;
  /** Entries between two reports. */
  readonly callsMax?: number;
}

interface Cell {
  readonly edge: TrafficEdge;
  readonly method: string;
  readonly path: string;
  readonly decision: CallDecision;
  count: number;
  errors: number;
  readonly latency: LatencySketch;
}

/** Entries by template, method and decision, all in one number. */
type Cells = Map<number, Cell>;

/** Half of what a summary may hold: the other half is left for entries that edges share, and for late additions. */
const CALLS_MAX = SUMMARY_CALLS_MAX / 2;
/** Methods told apart; the numbers of the others are spent on nobody's inventions. */
const METHODS_MAX = 32;
/** Templates that have a number, more than `PathTemplates` makes of anything sane. */
const TEMPLATES_MAX = 4_096;

const DENIED = flagSet("RBAC", "UAEX");
const LIMITED = flagSet("RL");
const UNROUTED = flagSet("NR");
/** Failed before anybody took them: nobody was there, the circuit was open, or a fault that was injected said so. */
const UNSERVED = flagSet("UH", "UO", "UF", "FI");
const NEVER_LEFT = DENIED | UNROUTED | UNSERVED;

export class TrafficRecorder {
  readonly #normalise: RecorderOptions["normalise"];
  readonly #callsMax: number;
  readonly #templates = new PathTemplates();
  readonly #templateNumbers = new Numbers(TEMPLATES_MAX);
  readonly #methodNumbers = new Numbers(METHODS_MAX);
  readonly #edges = new Map<string, EdgeTraffic>();
  #cells = 0;

  constructor({ normalise, callsMax = CALLS_MAX }: RecorderOptions) {
    this.#normalise = normalise;
    this.#callsMax = callsMax;
  }

  /** Calls that `take` could not hand out; whoever notes them sets it back. */
  dropped = 0;

  /** Counts the calls of an edge; ask once per connection or route. */
  edge(edge: TrafficEdge): EdgeTraffic {
    const key = `${edge.reporter} ${edge.source} ${edge.destination}`;
    let known = this.#edges.get(key);
    if (known === undefined) {
      known = new EdgeTraffic(edge, this);
      this.#edges.set(key, known);
    }
    return known;
  }

  /** What was counted since the last time, which is forgotten here. */
  take(): TrafficCall[] {
    const calls: TrafficCall[] = [];
    for (const edge of this.#edges.values()) {
      for (const cell of edge.take()) {
        if (calls.length < SUMMARY_CALLS_MAX) calls.push(callOf(cell));
        else this.dropped += cell.count;
      }
    }
    this.#cells = 0;
    return calls;
  }

  /** For `EdgeTraffic`: where a finished request is counted. */
  cell(edge: TrafficEdge, cells: Cells, record: RequestRecord, decision: CallDecision): Cell {
    const template = record.path === "" ? "" : this.#templateOf(record.path);
    const method = this.#methodNumbers.of(record.method);
    const path = this.#templateNumbers.of(template);
    const isOther = method === 0 || path === 0;
    const key = isOther ? keyOf(0, 0, decision) : keyOf(path, method, decision);
    const known = cells.get(key);
    if (known !== undefined) return known;
    if (isOther || this.#cells >= this.#callsMax) return this.#shared(edge, cells, decision);
    this.#cells++;
    return newCell(edge, cells, key, { method: record.method, path: template, decision });
  }

  /** What an edge has beyond its own entries: bounded by the number of edges, which policy makes. */
  #shared(edge: TrafficEdge, cells: Cells, decision: CallDecision): Cell {
    const key = keyOf(0, 0, decision);
    return cells.get(key) ?? newCell(edge, cells, key, { method: "*", path: ANY_PATH, decision });
  }

  #templateOf(path: string): string {
    const target = this.#normalise(path);
    return target === undefined ? ANY_PATH : this.#templates.of(target);
  }
}

/** The calls between one caller and one callee. */
export class EdgeTraffic {
  readonly #edge: TrafficEdge;
  readonly #recorder: TrafficRecorder;
  #cells: Cells = new Map();

  constructor(edge: TrafficEdge, recorder: TrafficRecorder) {
    this.#edge = edge;
    this.#recorder = recorder;
  }

  /** Once per request, when it is over. */
  count(record: RequestRecord): void {
    if (this.#edge.reporter === "source" && (record.flags & NEVER_LEFT) === 0) return;
    const cell = this.#recorder.cell(this.#edge, this.#cells, record, decisionOf(record));
    cell.count++;
    if (isError(record)) cell.errors++;
    cell.latency.observe(record.durationMs);
  }

  take(): Iterable<Cell> {
    if (this.#cells.size === 0) return [];
    const cells = this.#cells;
    this.#cells = new Map();
    return cells.values();
  }
}

/** Small numbers for texts, as many as there are: 0 for every other text. */
class Numbers {
  readonly #known = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  of(text: string): number {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (text === ANY_PATH || this.#known.size >= this.#max) return 0;
    const next = this.#known.size + 1;
    this.#known.set(text, next);
    return next;
  }
}

function keyOf(path: number, method: number, decision: CallDecision): number {
  return (path * (METHODS_MAX + 1) + method) * CALL_DECISIONS.length + CALL_DECISIONS.indexOf(decision);
}

function newCell(edge: TrafficEdge, cells: Cells, key: number, what: Pick<Cell, "method" | "path" | "decision">): Cell {
  const cell: Cell = { edge, ...what, count: 0, errors: 0, latency: new LatencySketch() };
  cells.set(key, cell);
  return cell;
}

function callOf({ edge, method, path, decision, count, errors, latency }: Cell): TrafficCall {
  const { source = null, destination = null } = edge;
  return { source, destination, method, path, decision, count, errors, latency: latency.counts() };
}

function isError({ status, flags, grpcStatus = 0 }: RequestRecord): boolean {
  // A TCP connection has no status, and went well where nothing is said against it.
  if (status === 0) return flags !== NO_FLAGS;
  return status >= 500 || GRPC_SERVER_ERRORS.has(grpcStatus) || GRPC_GATEWAY_ERRORS.has(grpcStatus);
}

function decisionOf({ flags }: RequestRecord): CallDecision {
  if ((flags & DENIED) !== 0) return "denied";
  if ((flags & LIMITED) !== 0) return "limited";
  if ((flags & UNROUTED) !== 0) return "unrouted";
  return (flags & UNSERVED) !== 0 ? "failed" : "allowed";
}
