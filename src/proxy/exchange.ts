/**
 * One request and its response: joins a downstream stream to an upstream call, both ways, with backpressure both ways.
 * What is particular to a direction (who is asked, what is allowed, where it goes) is its `Side`'s to say, once, when
 * the head is there; from then on the exchange only carries.
 */

import { RequestRecord } from "../telemetry/request-record.ts";
import { flagSet } from "../telemetry/response-flags.ts";
import type {
  HeaderList,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamFault,
  StreamListener,
} from "./codec/message.ts";
import { asksForTcp, headerValue } from "./headers.ts";
import type { Downstream } from "./io/downstream.ts";
import { Timer } from "./io/timers.ts";
import { type FaultName, faultFlags, faultResponse, faultTrailers, isGrpc, type LocalResponse } from "./respond.ts";
import type { Runtime } from "./runtime.ts";
import { type CallFailure, type CallOwner, type CallPlan, UpstreamCall } from "./upstream/call.ts";

/** Where a finished request, or connection, is counted. */
export interface Counter {
  count(record: RequestRecord): void;
}

/** What a side decides about a request: one reading of policy, held to the request's end. */
export type Admission =
  | { readonly kind: "answer"; readonly response: LocalResponse; readonly edge: Counter | undefined }
  | {
      readonly kind: "call";
      readonly plan: CallPlan;
      /** For all attempts together. */
      readonly timeoutMs: number | undefined;
      /** The caller's own deadline, where it named one. */
      readonly callerTimeoutMs?: number | undefined;
      readonly edge: Counter;
      /** The called service, for messages: `namespace/name`. */
      readonly service: string;
    };

/** One direction of the sidecar. */
export interface Side {
  /** Decides; fills in what policy has to say in the record. Must not throw. */
  admit(request: RequestHead, downstream: Downstream, record: RequestRecord): Admission;
  /** The request is over. `edge` is what its admission named. */
  finished(record: RequestRecord, edge: Counter | undefined): void;
  /** Another attempt was made; `service` is what its admission named. */
  retried(service: string): void;
  /** A request could not even be read, and was refused: there was nothing to admit, only to count. */
  unreadable(record: RequestRecord, downstream: Downstream): void;
}

/** The response is whole, and the rest of the request has no reader. */
const ANSWERED: StreamFault = { kind: "cancelled", detail: "answered_early" };
const CLIENT_GONE: StreamFault = { kind: "cancelled", detail: "response_incomplete" };

/**
 * Extended CONNECT (RFC 8441) is HTTP/2's way to say GET with `Upgrade`: rules are written for the latter, and
 * applications mostly know no other. The key of a WebSocket, which HTTP/2 leaves out, is made up where it is missing.
 */
function takeExtendedConnect(head: RequestHead, protocol: string): void {
  head.method = "GET";
  head.contentLength = 0;
  if (protocol !== "websocket" || headerValue(head.headers, "sec-websocket-key") !== undefined) return;
  head.headers.push("sec-websocket-key", crypto.getRandomValues(Buffer.alloc(16)).toString("base64"));
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** Records a request that could not be read. */
export function recordUnreadable(runtime: Runtime, side: Side, downstream: Downstream, fault: StreamFault): void {
  const record = new RequestRecord();
  record.startMs = runtime.wallMs();
  record.startNs = Bun.nanoseconds();
  record.endNs = record.startNs;
  record.status = fault.status ?? 0;
  record.flags = flagSet("DPE");
  record.details = fault.detail;
  record.downstreamAddress = downstream.facts.remoteAddress;
  side.unreadable(record, downstream);
}

export class Exchange implements StreamListener<RequestHead>, CallOwner {
  readonly #runtime: Runtime;
  readonly #side: Side;
  readonly #downstream: Downstream;
  readonly #stream: ServerStream;
  readonly #record = new RequestRecord();
  #edge: Counter | undefined;
  #service: string | undefined;
  #request: RequestHead | undefined;
  #contentType: string | undefined;
  #call: UpstreamCall | undefined;
  #timeout: Timer | undefined;
  #idle: Timer | undefined;
  #idleTimeoutMs = 0;
  /** Bytes moved since the idle watch last looked. */
  #active = true;
  #requestEnded = false;
  #requestEndNs = 0;
  #responding = false;
  /** The response switched protocols: both directions are bytes now, each with an end of its own. */
  #tunnel = false;
  #tunnelResponseEnded = false;
  #over = false;

  constructor(runtime: Runtime, side: Side, downstream: Downstream, stream: ServerStream) {
    this.#runtime = runtime;
    this.#side = side;
    this.#downstream = downstream;
    this.#stream = stream;
  }

  // From the downstream

  onHead(head: RequestHead, end: boolean): void {
    if (head.version === "2" && head.upgrade !== undefined) takeExtendedConnect(head, head.upgrade);
    this.#request = head;
    this.#requestEnded = end;
    this.#contentType = headerValue(head.headers, "content-type");
    this.#beginRecord(head);
    const admission = this.#side.admit(head, this.#downstream, this.#record);
    this.#edge = admission.edge;
    if (admission.kind === "answer") {
      this.#answer(admission.response);
      return;
    }
    this.#service = admission.service;
    const { timers, limits } = this.#runtime;
    this.#limitTime(admission.timeoutMs, admission.callerTimeoutMs);
    this.#idle = new Timer(() => this.#lookIdle());
    this.#idleTimeoutMs = limits.streamIdleTimeoutMs;
    timers.arm(this.#idle, this.#idleTimeoutMs);
    const call = new UpstreamCall(this.#runtime, admission.plan, this);
    this.#call = call;
    if (end) this.#requestEndNs = this.#record.startNs;
    call.sendHead(head, end);
  }

  onInformational(): void {
    // Requests have none.
  }

  onData(chunk: Uint8Array, end: boolean): void {
    this.#record.bytesReceived += chunk.byteLength;
    this.#active = true;
    const call = this.#call;
    if (call === undefined || this.#over) return;
    if (end) this.#requestEnds();
    if (!call.sendData(chunk, end) && !end) this.#stream.pause();
    if (end) this.#requestEndSent();
  }

  onTrailers(trailers: HeaderList): void {
    if (this.#over) return;
    this.#requestEnds();
    this.#call?.sendTrailers(trailers);
    this.#requestEndSent();
  }

  onDrain(): void {
    this.#active = true;
    this.#call?.resumeResponse();
  }

  onFault(fault: StreamFault): void {
    if (this.#over) return;
    const broken = fault.kind === "protocol-error";
    this.#record.flags |= broken ? flagSet("DPE") : flagSet("DC");
    this.#record.details = broken ? fault.detail : "downstream_remote_disconnect";
    if (broken && fault.status !== undefined && !this.#responding) this.#record.status = fault.status;
    this.#call?.cancel();
    this.#finish();
  }

  // From the upstream

  upstreamInformational(head: ResponseHead): void {
    this.#stream.sendInformational(head);
  }

  upstreamHead(head: ResponseHead, end: boolean): void {
    const record = this.#record;
    // RFC 8441 §5: over HTTP/2 a switch of protocols is agreed to with any 2xx.
    if (head.version === "2" && this.#request?.upgrade !== undefined && isSuccess(head.status)) head.status = 101;
    record.status = head.status;
    record.details = "via_upstream";
    if (this.#call?.retriesExhausted === true) record.flags |= flagSet("URX");
    record.upstreamServiceNs = Bun.nanoseconds() - (this.#requestEndNs || record.startNs);
    this.#responding = true;
    this.#active = true;
    this.#tunnel = head.status === 101 || (this.#request?.method === "CONNECT" && isSuccess(head.status));
    if (this.#tunnel) {
      this.#timeout?.cancel();
      this.#idleTimeoutMs = this.#runtime.limits.tunnelIdleTimeoutMs;
    }
    if (record.isGrpc) this.#noteGrpcStatus(head.headers);
    this.#stream.sendHead(head, end);
    if (end) this.#endResponse();
  }

  upstreamData(chunk: Uint8Array, end: boolean): void {
    this.#record.bytesSent += chunk.byteLength;
    this.#active = true;
    const goOn = this.#stream.sendData(chunk, end);
    if (end) this.#endResponse();
    else if (!goOn) this.#call?.pauseResponse();
  }

  upstreamTrailers(trailers: HeaderList): void {
    if (this.#record.isGrpc) this.#noteGrpcStatus(trailers);
    this.#stream.sendTrailers(trailers);
    this.#endResponse();
  }

  upstreamDrained(): void {
    this.#active = true;
    this.#stream.resume();
  }

  upstreamRetried(): void {
    if (this.#service !== undefined) this.#side.retried(this.#service);
  }

  upstreamFailed(failure: CallFailure): void {
    this.#record.flags |= failure.flags;
    this.#fail(failure.fault, failure.details);
  }

  // Ends

  /** Arms the smaller of the two: what comes first also names what went wrong. */
  #limitTime(routeMs = Number.POSITIVE_INFINITY, callerMs = Number.POSITIVE_INFINITY): void {
    const timeoutMs = Math.min(routeMs, callerMs);
    if (timeoutMs === Number.POSITIVE_INFINITY) return;
    this.#timeout = new Timer(() => {
      if (callerMs <= routeMs) this.#fail("deadline_exceeded", "downstream_deadline_exceeded");
      else this.#fail("upstream_timeout", "upstream_response_timeout");
    });
    this.#runtime.timers.arm(this.#timeout, timeoutMs);
  }

  /** No response will come, or no more of it: says so in the way that is still open. */
  #fail(fault: FaultName, details: string): void {
    if (this.#over) return;
    this.#call?.cancel();
    const version = this.#request?.version ?? "1.1";
    const context = { version, contentType: this.#contentType, service: this.#service, details };
    if (!this.#responding) {
      this.#answer(faultResponse(fault, context));
      return;
    }
    const record = this.#record;
    record.flags |= faultFlags(fault);
    record.details = details.replace("_before_response_started", "_after_response_started");
    if (record.isGrpc && version === "2") {
      // A gRPC status may still come: a caller learns more from it than from a reset.
      const trailers = faultTrailers(fault, context);
      this.#noteGrpcStatus(trailers);
      this.#stream.sendTrailers(trailers);
    } else {
      this.#stream.reset(CLIENT_GONE);
    }
    this.#finish();
  }

  /** Sends a response of our own. */
  #answer(response: LocalResponse): void {
    const record = this.#record;
    record.status = response.head.status;
    record.flags |= response.flags;
    record.details = response.details;
    record.grpcStatus = response.grpcStatus;
    this.#responding = true;
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
    this.#requestEndNs = Bun.nanoseconds();
  }

  #requestEndSent(): void {
    if (this.#tunnelResponseEnded) this.#finish();
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
    timers.arm(new Timer(() => this.#stream.reset(ANSWERED)), limits.earlyAnswerGraceMs);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout?.cancel();
    this.#idle?.cancel();
    const record = this.#record;
    const endpoint = this.#call?.endpoint?.endpoint;
    if (endpoint !== undefined) record.upstreamHost = `${endpoint.host}:${endpoint.port}`;
    record.endNs = Bun.nanoseconds();
    this.#side.finished(record, this.#edge);
  }

  #lookIdle(): void {
    if (!this.#active) {
      this.#fail("upstream_timeout", "stream_idle_timeout");
      return;
    }
    this.#active = false;
    if (this.#idle !== undefined) this.#runtime.timers.arm(this.#idle, this.#idleTimeoutMs);
  }

  #beginRecord(head: RequestHead): void {
    const record = this.#record;
    const { facts } = this.#downstream;
    record.startMs = this.#runtime.wallMs();
    record.startNs = Bun.nanoseconds();
    record.method = head.method;
    record.path = head.path;
    record.protocol = asksForTcp(head) ? "TCP" : `HTTP/${head.version}`;
    record.authority = head.authority;
    record.isGrpc = isGrpc(this.#contentType);
    record.downstreamAddress = facts.remoteAddress;
    const { headers } = head;
    for (let at = 0; at < headers.length; at += 2) {
      switch (headers[at]) {
        case "user-agent":
          record.userAgent = headers[at + 1];
          break;
        case "x-forwarded-for":
          record.forwardedFor = headers[at + 1];
          break;
        case "x-request-id":
          record.requestId = headers[at + 1];
          break;
        case "traceparent":
          record.traceparent = headers[at + 1];
          break;
      }
    }
  }

  #noteGrpcStatus(headers: HeaderList): void {
    const text = headerValue(headers, "grpc-status");
    if (text !== undefined && /^\d{1,2}$/.test(text)) this.#record.grpcStatus = Number(text);
  }
}
