/** A call whose bodies go no faster than a fault allows: between the exchange and its call, and known to neither. */

import type { FlagSet } from "../../telemetry/response-flags.ts";
import type { HeaderList, RequestHead, ResponseHead } from "../codec/message.ts";
import type { Runtime } from "../runtime.ts";
import { UpstreamCall } from "./call.ts";
import type { Bandwidth, Call, CallFailure, CallOwner, CallPlan } from "./call-plan.ts";
import type { EndpointState } from "./member.ts";
import { PacedBody } from "./paced-body.ts";

/** The call that a plan asks for. */
export function startCall(runtime: Runtime, plan: CallPlan, owner: CallOwner): Call {
  const { bandwidth } = plan;
  return bandwidth === undefined
    ? new UpstreamCall(runtime, plan, owner)
    : new PacedCall(runtime, plan, owner, bandwidth);
}

class PacedCall implements Call, CallOwner {
  readonly #owner: CallOwner;
  readonly #call: UpstreamCall;
  /** Absent: that direction is as fast as it can be. */
  readonly #request: PacedBody | undefined;
  readonly #response: PacedBody | undefined;

  constructor(runtime: Runtime, plan: CallPlan, owner: CallOwner, { bytesPerSecond, direction }: Bandwidth) {
    this.#owner = owner;
    const call = new UpstreamCall(runtime, plan, this);
    this.#call = call;
    if (direction !== "response") {
      this.#request = new PacedBody(runtime, bytesPerSecond, {
        data: (chunk, end) => call.sendData(chunk, end),
        trailers: (trailers) => call.sendTrailers(trailers),
        drained: () => owner.upstreamDrained(),
      });
    }
    if (direction !== "request") {
      this.#response = new PacedBody(runtime, bytesPerSecond, {
        data: (chunk, end) => {
          owner.upstreamData(chunk, end);
          return true;
        },
        trailers: (trailers) => owner.upstreamTrailers(trailers),
        drained: () => call.resumeResponse(),
      });
    }
  }

  get endpoint(): EndpointState | undefined {
    return this.#call.endpoint;
  }

  get flags(): FlagSet {
    return this.#call.flags;
  }

  // From the exchange

  sendHead(head: RequestHead, end: boolean): void {
    this.#call.sendHead(head, end);
  }

  sendData(chunk: Uint8Array, end: boolean): boolean {
    return this.#request === undefined ? this.#call.sendData(chunk, end) : this.#request.push(chunk, end);
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.#request === undefined) this.#call.sendTrailers(trailers);
    else this.#request.pushTrailers(trailers);
  }

  pauseResponse(): void {
    this.#response?.block();
    this.#call.pauseResponse();
  }

  resumeResponse(): void {
    if (this.#response === undefined) this.#call.resumeResponse();
    else this.#response.unblock();
  }

  cancel(): void {
    this.#stop();
    this.#call.cancel();
  }

  // From the call

  upstreamInformational(head: ResponseHead): void {
    this.#owner.upstreamInformational(head);
  }

  upstreamHead(head: ResponseHead, end: boolean): void {
    this.#owner.upstreamHead(head, end);
  }

  upstreamData(chunk: Uint8Array, end: boolean): void {
    if (this.#response === undefined) this.#owner.upstreamData(chunk, end);
    else if (!this.#response.push(chunk, end)) this.#call.pauseResponse();
  }

  upstreamTrailers(trailers: HeaderList): void {
    if (this.#response === undefined) this.#owner.upstreamTrailers(trailers);
    else this.#response.pushTrailers(trailers);
  }

  upstreamDrained(): void {
    if (this.#request === undefined) this.#owner.upstreamDrained();
    else this.#request.unblock();
  }

  upstreamFailed(failure: CallFailure): void {
    this.#stop();
    this.#owner.upstreamFailed(failure);
  }

  upstreamRetried(): void {
    this.#owner.upstreamRetried();
  }

  #stop(): void {
    this.#request?.stop();
    this.#response?.stop();
  }
}
