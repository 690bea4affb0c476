/**
 * One request on its way to a service: attempt after attempt, each on another endpoint, until a response comes that
 * policy lets through, or policy gives up. The caller of `UpstreamCall` sees one request and one response.
 */

import { type FlagSet, flagSet, NO_FLAGS } from "../../telemetry/response-flags.ts";
import type {
  ClientStream,
  HeaderList,
  RequestHead,
  ResponseHead,
  StreamFault,
  StreamListener,
} from "../codec/message.ts";
import { Timer } from "../io/timers.ts";
import type { FaultName } from "../respond.ts";
import type { Runtime } from "../runtime.ts";
import type { Call, CallFailure, CallOwner, CallPlan } from "./call-plan.ts";
import { countLoad, type EndpointState } from "./member.ts";
import { type Outcome, outcomeOf } from "./outlier.ts";
import type { NoConnection, PooledConnection, PoolWaiter } from "./pool.ts";
import { ReplayBuffer } from "./replay-buffer.ts";
import {
  type AttemptOutcome,
  backoffMs,
  grpcStatusOf,
  isRetriable,
  isUnprocessed,
  retryAfterMs,
  retryBackoff,
} from "./retry.ts";

/** The peer gave up this one stream (RST_STREAM), and not the connection with it. */
const STREAM_RESET = /^reset_/;
/** RFC 9110 §9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const CANCELLED: StreamFault = { kind: "cancelled", detail: "cancelled" };
const NO_ENDPOINTS: readonly EndpointState[] = [];

export class UpstreamCall implements Call, StreamListener<ResponseHead>, PoolWaiter {
  readonly #runtime: Runtime;
  readonly #plan: CallPlan;
  readonly #owner: CallOwner;

  #head: RequestHead | undefined;
  #headEnds = false;
  readonly #body: ReplayBuffer;
  #trailers: HeaderList | undefined;
  #requestEnded = false;

  #attempt = 0;
  /** Endpoints of the attempts that failed. */
  #tried = NO_ENDPOINTS;
  #endpoint: EndpointState | undefined;
  /** An attempt counts as load on its endpoint. */
  #inFlight = false;
  #connection: PooledConnection | undefined;
  #stream: ClientStream | undefined;
  /** The connection had served before: see `reused_connection_closed`. */
  #reusedConnection = false;
  #raceRetried = false;
  /** Counts among the retries under way. */
  #retrying = false;
  #flags = NO_FLAGS;
  #attemptStartMs = 0;
  #perTry: Timer | undefined;
  #backoff: Timer | undefined;
  /** A final response head went to the owner. */
  #committed = false;
  #responseEnded = false;
  #over = false;
  #pausedResponse = false;

  constructor(runtime: Runtime, plan: CallPlan, owner: CallOwner) {
    this.#runtime = runtime;
    this.#plan = plan;
    this.#owner = owner;
    this.#body = new ReplayBuffer(runtime.limits.replayBytesMax);
  }

  get isCopy(): boolean {
    return this.#plan.isCopy === true;
  }

  /** The endpoint of the attempt at hand, or of the last one. */
  get endpoint(): EndpointState | undefined {
    return this.#endpoint;
  }

  /** What there is to say of the response at hand: that policy would have retried it, had there been room. */
  get flags(): FlagSet {
    return this.#flags;
  }

  // The request

  sendHead(head: RequestHead, end: boolean): void {
    this.#head = head;
    this.#headEnds = end;
    this.#requestEnded = end;
    // A repetition earns no others, or the budgets of a chain of hops would multiply.
    if (this.#plan.isRetry !== true) this.#plan.budget?.request(this.#runtime.monotonicMs());
    const { delayMs } = this.#plan;
    if (delayMs === undefined) this.#start();
    else this.#startAfter(delayMs);
  }

  /** False: hold the rest back until `upstreamDrained`. */
  sendData(chunk: Uint8Array, end: boolean): boolean {
    if (this.#over || this.#requestEnded) return true;
    this.#requestEnded = end;
    const stream = this.#stream;
    this.#body.keep(chunk, stream !== undefined);
    if (stream === undefined) return this.#body.hasRoom;
    const goOn = stream.sendData(chunk, end);
    if (end) this.#settle();
    return goOn;
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.#over || this.#requestEnded) return;
    this.#requestEnded = true;
    this.#trailers = trailers;
    this.#stream?.sendTrailers(trailers);
    this.#settle();
  }

  pauseResponse(): void {
    this.#pausedResponse = true;
    this.#stream?.pause();
  }

  resumeResponse(): void {
    this.#pausedResponse = false;
    this.#stream?.resume();
  }

  /** Nobody wants the response any more. Idempotent; no callback follows. */
  cancel(): void {
    if (this.#over) return;
    this.#finish();
    this.#backoff?.cancel();
    this.#abandonAttempt();
  }

  // The connection

  onConnection(connection: PooledConnection): void {
    const head = this.#head;
    const endpoint = this.#endpoint;
    if (head === undefined || endpoint === undefined) return;
    this.#reusedConnection = connection.reused;
    this.#connection = connection;
    const stream = connection.codec.open(this);
    this.#stream = stream;
    if (this.#pausedResponse) stream.pause();
    stream.sendHead(this.#plan.head(head, this.#attempt), this.#headEnds);
    if (this.#headEnds) return;
    const body = this.#body.chunks;
    const endWithData = this.#requestEnded && this.#trailers === undefined;
    let goOn = true;
    for (const [index, chunk] of body.entries()) {
      goOn = stream.sendData(chunk, endWithData && index === body.length - 1);
      if (this.#stream !== stream) return;
    }
    if (endWithData && body.length === 0) stream.sendData(EMPTY, true);
    if (this.#trailers !== undefined) stream.sendTrailers(this.#trailers);
    this.#body.sent();
    if (goOn && !this.#requestEnded) this.#owner.upstreamDrained();
  }

  onNoConnection(reason: NoConnection, detail: string): void {
    if (reason === "removed") {
      // Nothing was sent, and nothing is wrong with the service: another endpoint takes it, at no one's expense.
      this.#forgetEndpoint();
      this.#start();
      return;
    }
    if (reason === "overflow") {
      // The bound is the whole service's: another endpoint would be refused as well.
      this.#fail({ fault: "overflow", details: detail, flags: flagSet("UO") });
      return;
    }
    const details = `upstream_reset_before_response_started{connection_failure,${detail}}`;
    this.#failAttempt({ kind: "connect-failure" }, { fault: "connect_failure", details, flags: flagSet("UF") });
  }

  // The response

  onInformational(head: ResponseHead): void {
    this.#owner.upstreamInformational(head);
  }

  onHead(head: ResponseHead, end: boolean): void {
    this.#perTry?.cancel();
    const grpcStatus = end ? grpcStatusOf(head.headers) : 0;
    this.#observe(outcomeOf(head.status, grpcStatus));
    if (head.status >= 400 || grpcStatus > 0) {
      const outcome: AttemptOutcome = { kind: "status", status: head.status, grpcStatus };
      const { retries } = this.#plan;
      const waitMs = retryAfterMs(head.headers, this.#runtime.wallMs, this.#plan.leftMs?.());
      if (waitMs !== undefined && this.#claimRetry(outcome)) {
        this.#retry(waitMs);
        return;
      }
      if (this.#attempt > 1 && retries !== undefined && isRetriable(outcome, retries)) this.#flags |= flagSet("URX");
    }
    this.#committed = true;
    this.#responseEnded = end;
    this.#body.release();
    this.#owner.upstreamHead(head, end);
    this.#settle();
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.#responseEnded = end;
    this.#owner.upstreamData(chunk, end);
    if (end) this.#settle();
  }

  onTrailers(trailers: HeaderList): void {
    this.#responseEnded = true;
    this.#owner.upstreamTrailers(trailers);
    this.#settle();
  }

  onDrain(): void {
    if (!this.#over) this.#owner.upstreamDrained();
  }

  onFault(fault: StreamFault): void {
    if (this.#lostRace(fault)) {
      this.#raceRetried = true;
      const endpoint = this.#endpoint;
      this.#endAttempt();
      this.#begin(endpoint);
      return;
    }
    switch (fault.kind) {
      case "refused":
        this.#failAttempt({ kind: "refused" }, failure("upstream_remote_reset", "UR", "remote_refused_stream_reset"));
        return;
      case "protocol-error":
        this.#failAttempt({ kind: "reset" }, failure("upstream_protocol_error", "UPE", "protocol_error", fault.detail));
        return;
      case "timeout":
      case "cancelled":
      case "peer-reset": {
        const reason = STREAM_RESET.test(fault.detail)
          ? failure("upstream_remote_reset", "UR", "remote_reset")
          : failure("upstream_reset", "UC", "connection_termination");
        this.#failAttempt({ kind: "reset" }, reason);
      }
    }
  }

  /**
   * The classic race of keep-alive: the server closed while our request was on its way. It did not fail the request.
   * But one that died of the request looks the same, so that only what may be done twice is sent again (RFC 9110
   * §9.2.2); for the rest, policy decides.
   */
  #lostRace(fault: StreamFault): boolean {
    if (fault.detail !== "reused_connection_closed" || !this.#reusedConnection || this.#raceRetried) return false;
    return this.#body.replayable && !this.#committed && IDEMPOTENT.has(this.#head?.method ?? "");
  }

  // Attempts

  #start(): void {
    const endpoint = this.#plan.pick(this.#tried);
    if (endpoint !== undefined) {
      this.#attempt++;
      this.#begin(endpoint);
      return;
    }
    this.#finish();
    const flags = flagSet("UH") | (this.#attempt > 0 ? flagSet("URX") : NO_FLAGS);
    this.#owner.upstreamFailed({ fault: "no_healthy_upstream", details: "no_healthy_upstream", flags });
  }

  #begin(endpoint: EndpointState | undefined): void {
    if (endpoint === undefined) return;
    this.#endpoint = endpoint;
    countLoad(endpoint, 1, this.isCopy);
    this.#inFlight = true;
    if (endpoint.observe !== undefined) this.#attemptStartMs = this.#runtime.monotonicMs();
    const perTryTimeoutMs = this.#plan.retries?.perTryTimeoutMs;
    if (perTryTimeoutMs !== undefined) {
      this.#perTry ??= new Timer(() => {
        const details = failure("per_try_timeout", "UT", "per_try_timeout");
        this.#failAttempt({ kind: "timeout" }, { ...details, details: "upstream_per_try_timeout" });
      });
      this.#runtime.timers.arm(this.#perTry, perTryTimeoutMs);
    }
    endpoint.pool.acquire(this);
  }

  #failAttempt(outcome: AttemptOutcome, reason: CallFailure): void {
    if (this.#over) return;
    // Who refuses is leaving, or has enough to do: no fault.
    if (outcome.kind !== "refused") this.#observe(outcome.kind === "connect-failure" ? "unreachable" : "no-response");
    if (!this.#committed && this.#claimRetry(outcome)) {
      this.#retry(0);
      return;
    }
    this.#fail(reason);
  }

  #fail(reason: CallFailure): void {
    if (this.#over) return;
    this.#finish();
    this.#abandonAttempt();
    const exhausted = !this.#committed && this.#attempt > 1 ? flagSet("URX") : NO_FLAGS;
    this.#owner.upstreamFailed({ ...reason, flags: reason.flags | this.#flags | exhausted });
  }

  /** True if policy has room for another attempt, which then counts against the budget. */
  #claimRetry(outcome: AttemptOutcome): boolean {
    const { retries, budget } = this.#plan;
    if (retries === undefined || !this.#body.replayable || this.#attempt > retries.attempts) return false;
    if (!isRetriable(outcome, retries) || (this.#plan.isRetry === true && !isUnprocessed(outcome))) return false;
    if (!this.#retrying && this.#plan.takesRetry?.() === false) {
      this.#flags |= flagSet("UO");
      return false;
    }
    if (budget?.tryRetry(retries.budget, this.#runtime.monotonicMs()) === false) return false;
    if (budget !== undefined && !this.#retrying) {
      this.#retrying = true;
      budget.active++;
    }
    return true;
  }

  #observe(outcome: Outcome): void {
    const observe = this.#endpoint?.observe;
    if (observe !== undefined && !this.isCopy) observe(outcome, this.#runtime.monotonicMs() - this.#attemptStartMs);
  }

  /** @param waitMs what the server asked for. */
  #retry(waitMs: number): void {
    if (this.#endpoint !== undefined) this.#tried = [...this.#tried, this.#endpoint];
    this.#abandonAttempt();
    this.#owner.upstreamRetried();
    const ownMs = backoffMs(this.#attempt, this.#runtime.random, retryBackoff(this.#plan.retries));
    this.#startAfter(waitMs + ownMs);
  }

  #startAfter(waitMs: number): void {
    this.#backoff ??= new Timer(() => this.#start());
    this.#runtime.timers.arm(this.#backoff, waitMs);
  }

  /** The endpoint left before the attempt began. */
  #forgetEndpoint(): void {
    if (this.#endpoint !== undefined) this.#tried = [...this.#tried, this.#endpoint];
    this.#attempt--;
    this.#endAttempt();
  }

  /** Gives up the attempt at hand, wherever it stands. */
  #abandonAttempt(): void {
    const stream = this.#stream;
    if (stream === undefined) this.#endpoint?.pool.cancel(this);
    const connection = this.#connection;
    this.#endAttempt();
    stream?.reset(CANCELLED);
    connection?.streamEnded();
  }

  #endAttempt(): void {
    this.#perTry?.cancel();
    if (this.#inFlight && this.#endpoint !== undefined) countLoad(this.#endpoint, -1, this.isCopy);
    this.#inFlight = false;
    this.#connection = undefined;
    this.#stream = undefined;
  }

  #finish(): void {
    this.#over = true;
    if (this.#retrying && this.#plan.budget !== undefined) this.#plan.budget.active--;
    this.#retrying = false;
  }

  /** Both messages are over: the connection is free for others. */
  #settle(): void {
    if (!this.#requestEnded || !this.#responseEnded || this.#over) return;
    this.#finish();
    const connection = this.#connection;
    this.#endAttempt();
    connection?.streamEnded();
  }
}

const EMPTY = new Uint8Array(0);

function failure(fault: FaultName, flag: "UR" | "UC" | "UPE" | "UT", reason: string, detail?: string): CallFailure {
  const inner = detail === undefined ? reason : `${reason},${detail}`;
  return { fault, details: `upstream_reset_before_response_started{${inner}}`, flags: flagSet(flag) };
}
