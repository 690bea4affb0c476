/** One running worker, as the sidecar that started it sees it: orders go in, news come out. */

import type { QuotaRequest } from "../../../projections/snapshot.ts";
import type { MetricReport } from "../../../telemetry/metric-sum.ts";
import type { AskQuota } from "../../quota-client.ts";
import type { ClusterView, TrafficBatch } from "../data-plane.ts";
import { type WorkerOrder, workerNews } from "./messages.ts";

/** The process of a worker. */
export interface WorkerProcess {
  readonly pid: number;
  /** Resolves when it has ended, with how, in words. */
  readonly exited: Promise<string>;
  send(order: WorkerOrder): void;
  /** Has it close everything, and ends it where it does not; resolves when it has ended. */
  stop(): Promise<void>;
}

export interface WorkerLinkOptions {
  readonly spawn: (onMessage: (message: unknown) => void) => WorkerProcess;
  readonly onMetrics: (metrics: MetricReport) => void;
  /** Calls that it counted. */
  readonly onTraffic: (batch: TrafficBatch) => void;
  /** It needs tokens of rate limits; rejects where there is no answer. */
  readonly onQuota: AskQuota;
  /** It enforces another revision. */
  readonly onEnforcing: () => void;
}

/** A worker that does not answer within this time is left out of a page. */
const ANSWER_WITHIN_MS = 1_000;
/** A worker that takes longer to listen is taken for stuck. */
const LISTEN_WITHIN_MS = 30_000;
/** Beyond its own time to drain, for saying that it has. */
const DRAIN_GRACE_MS = 1_000;

export class WorkerLink {
  readonly process: WorkerProcess;
  readonly #options: WorkerLinkOptions;
  readonly #listening = Promise.withResolvers<void>();
  readonly #drained = Promise.withResolvers<number>();
  readonly #reports = new Map<number, () => void>();
  /** Orders that came before it said that it is there. */
  #early: WorkerOrder[] | undefined = [];
  #isListening = false;
  #ended = false;
  #lastReport = 0;
  #revision = 0;
  #clusters: readonly ClusterView[] = [];

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
    this.#listening.promise.catch(() => {});
    const stuck = setTimeout(() => this.#listening.reject(new Error("it did not get ready")), LISTEN_WITHIN_MS);
    this.process = options.spawn((message) => this.#hear(message));
    void this.process.exited.then((ending) => {
      clearTimeout(stuck);
      this.#ended = true;
      this.#isListening = false;
      this.#listening.reject(new Error(ending));
      this.#drained.resolve(0);
      for (const settle of this.#reports.values()) settle();
    });
    void this.#listening.promise.then(
      () => clearTimeout(stuck),
      () => this.process.stop(),
    );
  }

  /** Rejects, in words, where it does not come to listen; it is ended then. */
  get whenListening(): Promise<void> {
    return this.#listening.promise;
  }

  get listening(): boolean {
    return this.#isListening;
  }

  /** Of the snapshot that it enforces. */
  get revision(): number {
    return this.#revision;
  }

  /** As of its last report. */
  get clusters(): readonly ClusterView[] {
    return this.#clusters;
  }

  tell(order: WorkerOrder): void {
    if (this.#ended) return;
    if (this.#early !== undefined) this.#early.push(order);
    else this.process.send(order);
  }

  /** Asks for its numbers; resolves when they are there, or when it takes too long. */
  report(): Promise<void> {
    return this.#ask("report");
  }

  /** Asks for the calls that it counted, likewise: they come by `onTraffic`, late ones too. */
  traffic(): Promise<void> {
    return this.#ask("traffic");
  }

  #ask(kind: "report" | "traffic"): Promise<void> {
    const id = ++this.#lastReport;
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = setTimeout(resolve, ANSWER_WITHIN_MS);
    this.#reports.set(id, resolve);
    this.tell({ kind, id });
    return promise.finally(() => {
      clearTimeout(late);
      this.#reports.delete(id);
    });
  }

  /** Resolves with the connections that it had left. */
  async drain(timeoutMs: number): Promise<number> {
    this.tell({ kind: "drain", timeoutMs });
    const late = setTimeout(() => this.#drained.resolve(0), timeoutMs + DRAIN_GRACE_MS);
    const left = await this.#drained.promise;
    clearTimeout(late);
    return left;
  }

  async #answerQuota(id: number, request: QuotaRequest): Promise<void> {
    const reply = await this.#options.onQuota(request).catch(() => undefined);
    this.tell({ kind: "quota", id, ...(reply === undefined ? {} : { reply }) });
  }

  #hear(message: unknown): void {
    const news = workerNews.safeParse(message);
    if (!news.success) {
      this.#listening.reject(new Error(`it said what this sidecar does not understand: ${news.error.message}`));
      return;
    }
    switch (news.data.kind) {
      case "hello":
        for (const order of this.#early ?? []) this.process.send(order);
        this.#early = undefined;
        break;
      case "listening":
        this.#isListening = true;
        this.#listening.resolve();
        break;
      case "failed":
        this.#listening.reject(new Error(news.data.message));
        break;
      case "enforcing":
        this.#revision = news.data.revision;
        this.#options.onEnforcing();
        break;
      case "report":
        this.#clusters = news.data.clusters.map((view) => ({ ...view, spiffeId: view.spiffeId }));
        this.#options.onMetrics(news.data.metrics);
        this.#reports.get(news.data.id)?.();
        break;
      case "traffic":
        this.#options.onTraffic(news.data);
        this.#reports.get(news.data.id)?.();
        break;
      case "quota":
        void this.#answerQuota(news.data.id, news.data.request);
        break;
      case "drained":
        this.#drained.resolve(news.data.connections);
    }
  }
}
