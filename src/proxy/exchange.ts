/**
 * One request and its response: joins a downstream stream to an upstream call, both ways, with backpressure both ways.
 * What is particular to a direction (who is asked, what is allowed, where it goes) is its `Side`'s to say, once, when
 * the head is there; from then on the exchange only carries.
 */

import { RequestRecord } from "../telemetry/request-record.ts";
import { type FlagSet, NO_FLAGS } from "../telemetry/response-flags.ts";
import type {
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamFault,
  StreamListener,
} from "./codec/message.ts";
import { declineUpgrade, isSuccess, settleUpgrade, takeExtendedConnect } from "./extended-connect.ts";
import { headerValue } from "./headers.ts";
import { HeldRequest, type HeldRequestReader } from "./held-request.ts";
import { IdleWatch } from "./idle-watch.ts";
import type { Downstream } from "./io/downstream.ts";
import { Timer } from "./io/timers.ts";
import type { OpenExchanges, Reviewed } from "./open-exchanges.ts";
import { recordEnd, recordFault, recordGrpcStatus, recordRequest, recordResponse } from "./record.ts";
import { RESETS } from "./resets.ts";
import {
  type FaultName,
  faultFlags,
  faultResponse,
  faultTrailers,
  grpcTrailersOf,
  isGrpc,
  type LocalResponse,
} from "./respond.ts";
import type { Runtime } from "./runtime.ts";
import type { Admission, Counter, RequestCopy, ResponseChange, Side } from "./side.ts";
import type { Call, CallFailure, CallOwner } from "./upstream/call-plan.ts";
import { startCall } from "./upstream/paced-call.ts";

export class Exchange implements StreamListener<RequestHead>, CallOwner, HeldRequestReader, Reviewed {
  readonly #runtime: Runtime;
  readonly #side: Side;
  readonly #open: OpenExchanges;
  readonly #downstream: Downstream;
  readonly #stream: ServerStream;
  readonly #record = new RequestRecord();
  openAt = -1;
  #edge: Counter | undefined;
  #service: string | undefined;
  #request: RequestHead | undefined;
  #contentType: string | undefined;
  #call: Call | undefined;
  #timeout: Timer | undefined;
  #idle: IdleWatch | undefined;
  /** How long policy lets it be idle; the bound of a tunnel as well. */
  #routeIdleMs: number | undefined;
  /** Policy would no longer let this request in; it may end in its own time until then. */
  #withdrawal: Timer | undefined;
  /** What came before it was decided what becomes of the request. */
  #held: HeldRequest | undefined;
  /** Of the request's body. */
  #requestBytesMax: number | undefined;
  #changeResponse: ResponseChange | undefined;
  #copy: RequestCopy | undefined;
  #requestEnded = false;
  #requestEndNs = 0;
  #responding = false;
  /** The response switched protocols: both directions are bytes now, each with an end of its own. */
  #tunnel = false;
  #tunnelResponseEnded = false;
  #over = false;

  constructor(runtime: Runtime, side: Side, open: OpenExchanges, downstream: Downstream, stream: ServerStream) {
    this.#runtime = runtime;
    this.#side = side;
    this.#open = open;
    this.#downstream = downstream;
    this.#stream = stream;
  }

  // From the downstream

  onHead(head: RequestHead, end: boolean): void {
    if (head.version === "2" && head.upgrade !== undefined) takeExtendedConnect(head, head.upgrade);
    this.#request = head;
    this.#requestEnded = end;
    this.#contentType = headerValue(head.headers, "content-type");
    recordRequest(this.#runtime, this.#record, head, this.#downstream);
    this.#record.isGrpc = isGrpc(this.#contentType);
    this.#decide(head, end);
  }

  /** Waits, where it must, with the request held back. */
  #decide(head: RequestHead, end: boolean): void {
    const waiting = this.#side.prepare?.(head);
    if (waiting === undefined) {
      this.#admit(head, end);
      return;
    }
    if (!end && this.#held === undefined) {
      this.#held = new HeldRequest();
      this.#stream.pause();
    }
    void waiting.then(() => {
      if (!this.#over) this.#decide(head, end);
    });
  }

  #admit(head: RequestHead, end: boolean): void {
    const admission = this.#side.admit(head, this.#downstream, this.#record);
    this.#edge = admission.edge;
    if (admission.kind !== "call") {
      this.#decline(admission);
      return;
    }
    this.#requestBytesMax = admission.requestBytesMax;
    this.#changeResponse = admission.changeResponse;
    this.#service = admission.service;
    this.#routeIdleMs = admission.idleTimeoutMs;
    const idleTimeoutMs = this.#routeIdleMs ?? this.#runtime.limits.streamIdleTimeoutMs;
    // What ends before it could grow idle need not be watched.
    if (idleTimeoutMs < this.#limitTime(admission.timeoutMs, admission.callerTimeoutMs)) this.#watchIdle(idleTimeoutMs);
    const call = startCall(this.#runtime, admission.plan, this);
    this.#call = call;
    this.#open.add(this);
    if (end) this.#requestEndNs = this.#record.startNs;
    this.#copy = admission.copy?.send(end);
    call.sendHead(head, end);
    const held = this.#held;
    this.#held = undefined;
    if (held?.release(this) === true) this.#stream.resume();
  }

  onInformational(): void {
    // Requests have none.
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.#record.bytesReceived += chunk.byteLength;
    this.#idle?.moved();
    if (this.#held !== undefined) this.#held.data(chunk, end);
    else if (!this.takeData(chunk, end) && !end) this.#stream.pause();
  }

  takeData(chunk: Uint8Array, end: boolean): boolean {
    const call = this.#call;
    if (call === undefined || this.#over) return true;
    if (this.#requestBytesMax !== undefined && this.#record.bytesReceived > this.#requestBytesMax) {
      this.#fail("request_too_large", "request_payload_too_large");
      return true;
    }
    if (end) this.#requestEnds();
    this.#copy?.sendData(chunk, end);
    const goOn = call.sendData(chunk, end);
    if (end && this.#tunnelResponseEnded) this.#finish();
    return goOn;
  }

  onTrailers(trailers: HeaderList): void {
    if (this.#held !== undefined) this.#held.trailers(trailers);
    else this.takeTrailers(trailers);
  }

  takeTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    this.#requestEnds();
    this.#copy?.sendTrailers(trailers);
    this.#call?.sendTrailers(trailers);
    if (this.#tunnelResponseEnded) this.#finish();
  }

  onDrain(): void {
    this.#idle?.moved();
    this.#call?.resumeResponse();
  }

  onFault(fault: StreamFault): void {
    if (this.#over) return;
    recordFault(this.#record, fault, this.#responding);
    this.#call?.cancel();
    this.#finish();
  }

  // From the upstream

  upstreamInformational(head: ResponseHead): void {
    this.#stream.sendInformational(head);
  }

  upstreamHead(head: ResponseHead, end: boolean): void {
    const record = this.#record;
    if (this.#request !== undefined) settleUpgrade(this.#request, head, this.#downstream.facts);
    recordResponse(this.#runtime, record, head, this.#requestEndNs);
    record.flags |= this.#call?.flags ?? NO_FLAGS;
    this.#responding = true;
    this.#idle?.moved();
    this.#tunnel = head.status === 101 || (this.#request?.method === "CONNECT" && isSuccess(head.status));
    if (this.#tunnel) {
      this.#timeout?.cancel();
      this.#watchIdle(this.#routeIdleMs ?? this.#runtime.limits.tunnelIdleTimeoutMs);
    }
    this.#changeResponse?.(head.headers, "backend");
    // RFC 9110 §6.6.1: who receives a response without a date, and has a clock, says when that was.
    if (headerValue(head.headers, "date") === undefined) head.headers.push("date", this.#runtime.httpDate());
    if (record.isGrpc) recordGrpcStatus(this.#record, head.headers);
    this.#stream.sendHead(head, end);
    if (end) this.#endResponse();
  }

  upstreamData(chunk: Uint8Array, end: boolean): void {
    this.#record.bytesSent += chunk.byteLength;
    this.#idle?.moved();
    const goOn = this.#stream.sendData(chunk, end);
    if (end) this.#endResponse();
    else if (!goOn) this.#call?.pauseResponse();
  }

  upstreamTrailers(trailers: HeaderList): void {
    if (this.#record.isGrpc) recordGrpcStatus(this.#record, trailers);
    this.#stream.sendTrailers(trailers);
    this.#endResponse();
  }

  upstreamDrained(): void {
    this.#idle?.moved();
    this.#stream.resume();
  }

  upstreamRetried(): void {
    if (this.#service !== undefined) this.#side.retried(this.#service);
  }

  upstreamFailed(failure: CallFailure): void {
    this.#record.flags |= failure.flags;
    this.#fail(failure.fault, failure.details);
  }

  // From policy

  /**
   * One request sees one policy from beginning to end. A tunnel has no end of its own, so it is cut as soon as policy
   * would refuse it; anything else has the grace that ordinary requests need, and is then as good as a tunnel.
   */
  review(): void {
    const refusal = this.#refusal;
    if (refusal === undefined) return;
    if (this.#tunnel) {
      this.#withdraw(refusal);
      return;
    }
    this.#withdrawal ??= new Timer(() => {
      const still = this.#refusal;
      if (still !== undefined) this.#withdraw(still);
    });
    if (!this.#withdrawal.armed) this.#runtime.timers.arm(this.#withdrawal, this.#runtime.limits.withdrawalGraceMs);
  }

  /** What policy as it is now would answer to the request. */
  get #refusal(): LocalResponse | undefined {
    if (this.#over || this.#request === undefined || this.#service === undefined) return undefined;
    return this.#side.review(this.#request, this.#downstream, this.#record, this.#service);
  }

  #withdraw(refusal: LocalResponse): void {
    this.#call?.cancel();
    if (this.#responding) this.#breakOff(refusal.flags, refusal.details, grpcTrailersOf(refusal));
    else this.#answer(refusal);
  }

  cutOff(): void {
    this.#fail("draining", "drain_timeout");
  }

  // Ends

  /** No call is made; a failure on purpose may be a slow one. */
  #decline(admission: Exclude<Admission, { kind: "call" }>): void {
    const { afterMs } = admission;
    const decline = (): void => {
      if (admission.kind === "answer") this.#answer(admission.response);
      else this.#breakOff(admission.flags, admission.details, undefined);
    };
    if (afterMs === undefined) decline();
    else this.#after(afterMs, decline);
  }

  #after(timeoutMs: number, act: () => void): void {
    if (timeoutMs === Number.POSITIVE_INFINITY) return;
    this.#timeout = new Timer(act);
    this.#runtime.timers.arm(this.#timeout, timeoutMs);
  }

  #watchIdle(timeoutMs: number): void {
    const onIdle = (): void => this.#fail("upstream_timeout", "stream_idle_timeout");
    this.#idle?.stop();
    this.#idle = new IdleWatch(this.#runtime.timers, timeoutMs, onIdle);
  }

  /** Arms the smaller of the two, and returns it: what comes first also names what went wrong. */
  #limitTime(routeMs = Number.POSITIVE_INFINITY, callerMs = Number.POSITIVE_INFINITY): number {
    const timeoutMs = Math.min(routeMs, callerMs);
    this.#after(timeoutMs, () => {
      if (callerMs <= routeMs) this.#fail("deadline_exceeded", "downstream_deadline_exceeded");
      else this.#fail("upstream_timeout", "upstream_response_timeout");
    });
    return timeoutMs;
  }

  /** No response will come, or no more of it: says so in the way that is still open. */
  #fail(fault: FaultName, details: string): void {
    if (this.#over) return;
    this.#call?.cancel();
    const version = this.#request?.version ?? "1.1";
    const context = { version, contentType: this.#contentType, service: this.#service, details };
    const now = details.replace("_before_response_started", "_after_response_started");
    if (this.#responding) this.#breakOff(faultFlags(fault), now, faultTrailers(fault, context));
    else this.#answer(faultResponse(fault, context));
  }

  /** Ends a response that is under way: by a gRPC status where one may still come, for a caller learns more from it. */
  #breakOff(flags: FlagSet, details: string, trailers: HeaderList | undefined): void {
    const record = this.#record;
    record.flags |= flags;
    record.details = details;
    if (trailers !== undefined && record.isGrpc && this.#request?.version === "2") {
      recordGrpcStatus(this.#record, trailers);
      this.#stream.sendTrailers(trailers);
    } else {
      this.#stream.reset(this.#tunnel ? RESETS.tunnelCut : RESETS.responseIncomplete);
    }
    this.#finish();
  }

  /** Sends a response of our own. */
  #answer(response: LocalResponse): void {
    const record = this.#record;
    if (this.#request !== undefined) declineUpgrade(this.#request, response.head, this.#downstream.facts);
    record.status = response.head.status;
    record.flags |= response.flags;
    record.details = response.details;
    record.grpcStatus = response.grpcStatus;
    this.#responding = true;
    this.#changeResponse?.(response.head.headers, "sidecar");
    // RFC 9110 §6.6.1: whoever has a clock says when it answered.
    response.head.headers.push("date", this.#runtime.httpDate());
    const bodiless = response.body.byteLength === 0 || this.#request?.method === "HEAD";
    this.#stream.sendHead(response.head, bodiless);
    if (!bodiless) {
      record.bytesSent += response.body.byteLength;
      this.#stream.sendData(response.body, true);
    }
    this.#refuseRest();
    this.#finish();
  }

  #requestEnds(): void {
    this.#requestEnded = true;
    this.#requestEndNs = this.#runtime.monotonicNs();
  }

  #endResponse(): void {
    if (this.#tunnel && !this.#requestEnded) {
      // The other direction may go on: a tunnel has no request that could be cut short.
      this.#tunnelResponseEnded = true;
      return;
    }
    if (!this.#requestEnded) this.#call?.cancel();
    this.#refuseRest();
    this.#finish();
  }

  /**
   * The response came before the request was over. Over HTTP/1.1 the codec sees to what follows from that; over HTTP/2
   * the sender is told to stop, when it has had the time to read the answer: some clients (curl 7) throw away a response
   * that a reset follows on the heels.
   */
  #refuseRest(): void {
    if (this.#requestEnded || this.#request?.version !== "2") return;
    const { timers, limits } = this.#runtime;
    timers.arm(new Timer(() => this.#stream.reset(RESETS.answeredEarly)), limits.earlyAnswerGraceMs);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#open.delete(this);
    this.#copy?.requestOver();
    this.#withdrawal?.cancel();
    this.#timeout?.cancel();
    this.#idle?.stop();
    const record = this.#record;
    recordEnd(this.#runtime, record, this.#call?.endpoint?.endpoint);
    this.#side.finished(record, this.#edge);
  }
}
