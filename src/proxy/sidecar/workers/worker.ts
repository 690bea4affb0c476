/** A worker's own side: a data plane that does what the sidecar which started it says. */

import type { QuotaReply, QuotaRequest } from "../../../projections/snapshot.ts";
import { reportOf } from "../../../telemetry/metric-sum.ts";
import type { AskQuota } from "../../quota-client.ts";
import type { DataPlane } from "../data-plane.ts";
import { othersTurn } from "../turns.ts";
import { type WorkerNews, type WorkerOrder, workerOrder } from "./messages.ts";
import { SnapshotAssembly } from "./snapshot-orders.ts";

type Start = Extract<WorkerOrder, { kind: "start" }>;

export interface WorkerOptions {
  readonly send: (news: WorkerNews) => void;
  /** Makes the data plane, once it is told where to listen. */
  readonly dataPlane: (start: Omit<Start, "kind">, askQuota: AskQuota) => DataPlane;
  /** It is over: `failure` says why, where it is not because it was told to end. */
  readonly onEnd: (failure?: string) => void;
}

/** Takes orders. Everything that comes in goes through `receive`, in its order. */
export class Worker {
  readonly #options: WorkerOptions;
  #plane: DataPlane | undefined;
  readonly #assembly = new SnapshotAssembly();
  /** What came while requests had their turn; the sidecar sends no more of a kind than it has to say. */
  readonly #inbox: unknown[] = [];
  #resting = false;
  /** Questions for tokens that have no answer yet. */
  readonly #asked = new Map<number, PromiseWithResolvers<QuotaReply>>();
  #lastAsked = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    options.send({ kind: "hello" });
  }

  receive(message: unknown): void {
    this.#inbox.push(message);
    if (!this.#resting) this.#work();
  }

  /** Obeys one order after the other. The pieces of a large snapshot come all at once: after each, requests have their turn. */
  #work(): void {
    while (this.#inbox.length > 0 && !this.#resting) {
      const order = workerOrder.safeParse(this.#inbox.shift());
      if (!order.success) {
        this.#fail(`the sidecar said what this worker does not understand: ${order.error.message}`);
        continue;
      }
      this.#resting = order.data.kind === "upstreams";
      if (this.#resting) void othersTurn().then(() => this.#rested());
      this.#obey(order.data).catch((error: unknown) => this.#fail(messageOf(error)));
    }
  }

  #rested(): void {
    this.#resting = false;
    this.#work();
  }

  async #obey(order: WorkerOrder): Promise<void> {
    const { send, dataPlane, onEnd } = this.#options;
    if (order.kind === "start") {
      this.#plane = dataPlane(order, (request) => this.#askQuota(request));
      return;
    }
    const plane = this.#plane;
    if (plane === undefined) throw new Error(`told to ${order.kind} before it was started`);
    switch (order.kind) {
      case "identity":
        plane.useIdentity(order.identity);
        break;
      case "upstreams":
        this.#assembly.add(order.upstreams);
        break;
      case "snapshot":
        plane.enforce(this.#assembly.complete(order));
        send({ kind: "enforcing", revision: plane.revision });
        break;
      case "endpoints":
        plane.replaceEndpoints(order.set);
        break;
      case "listen":
        await plane.listen();
        send({ kind: "listening" });
        break;
      case "report":
        await plane.measure();
        send({ kind: "report", id: order.id, metrics: reportOf(plane.families), clusters: await plane.clusters() });
        break;
      case "traffic": {
        const { calls, dropped } = await plane.takeTraffic();
        send({ kind: "traffic", id: order.id, calls: [...calls], dropped });
        break;
      }
      case "quota":
        this.#answered(order.id, order.reply);
        break;
      case "drain":
        send({ kind: "drained", connections: await plane.drain(order.timeoutMs) });
        break;
      case "close":
        await plane.close();
        onEnd();
    }
  }

  #askQuota(request: QuotaRequest): Promise<QuotaReply> {
    const id = ++this.#lastAsked;
    const asked = Promise.withResolvers<QuotaReply>();
    this.#asked.set(id, asked);
    this.#options.send({ kind: "quota", id, request });
    return asked.promise;
  }

  #answered(id: number, reply: QuotaReply | undefined): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (reply === undefined) asked?.reject(new Error("nobody answers for rate limits"));
    else asked?.resolve(reply);
  }

  #fail(message: string): void {
    this.#options.send({ kind: "failed", message });
    this.#options.onEnd(message);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
