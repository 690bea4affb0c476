/** One direction of the sidecar, as an exchange sees it: who is asked, what is allowed, where it goes. */

import type { RequestRecord } from "../telemetry/request-record.ts";
import type { FlagSet } from "../telemetry/response-flags.ts";
import type { HeaderList, RequestHead } from "./codec/message.ts";
import type { Downstream } from "./io/downstream.ts";
import type { LocalResponse } from "./respond.ts";
import type { CallPlan } from "./upstream/call-plan.ts";

/** Where a finished request, or connection, is counted. */
export interface Counter {
  count(record: RequestRecord): void;
}

/** A copy of a request under way: it gets what the request gets, and nothing comes back. */
export interface RequestCopy {
  sendData(chunk: Uint8Array, end: boolean): void;
  sendTrailers(trailers: HeaderList): void;
  /** The request is over, whole or not. */
  requestOver(): void;
}

/** Changes the headers of a response before they go out: the called side's, or one that the sidecar gives in its place. */
export type ResponseChange = (headers: HeaderList, from: "backend" | "sidecar") => void;

/** What a side decides about a request: one reading of policy, held to the request's end. */
export type Admission =
  /** Broken off without a response. */
  | {
      readonly kind: "reset";
      readonly flags: FlagSet;
      readonly details: string;
      readonly edge: Counter | undefined;
      readonly afterMs?: number | undefined;
    }
  | {
      readonly kind: "answer";
      readonly response: LocalResponse;
      readonly edge: Counter | undefined;
      /** How long it is held back on purpose. */
      readonly afterMs?: number | undefined;
    }
  | {
      readonly kind: "call";
      readonly plan: CallPlan;
      /** For all attempts together. */
      readonly timeoutMs: number | undefined;
      /** The caller's own deadline, where it named one. */
      readonly callerTimeoutMs?: number | undefined;
      /** Without a byte either way; absent: the sidecar's own bound. */
      readonly idleTimeoutMs?: number | undefined;
      /** Above it, 413; absent: any size. */
      readonly requestBytesMax?: number | undefined;
      readonly changeResponse?: ResponseChange | undefined;
      /** A copy to be sent beside the request. */
      readonly copy?: { send(end: boolean): RequestCopy } | undefined;
      readonly edge: Counter;
      /** The called service, for messages: `namespace/name`. */
      readonly service: string;
    };

/** One direction of the sidecar. */
export interface Side {
  /**
   * What `admit` needs to know and is not at hand: undefined nearly always, else resolves when it is, and is asked again.
   * Must not reject.
   */
  prepare?(request: RequestHead): Promise<unknown> | undefined;
  /** Decides; fills in what policy has to say in the record. Must not throw. */
  admit(request: RequestHead, downstream: Downstream, record: RequestRecord): Admission;
  /**
   * Whether a request that was let in would be let in now, after policy has changed: undefined, or how it would be
   * refused. `record` and `service` are what its admission filled in and named.
   */
  review(
    request: RequestHead,
    downstream: Downstream,
    record: RequestRecord,
    service: string,
  ): LocalResponse | undefined;
  /** The request is over. `edge` is what its admission named. */
  finished(record: RequestRecord, edge: Counter | undefined): void;
  /** Another attempt was made; `service` is what its admission named. */
  retried(service: string): void;
  /** A request could not even be read, and was refused: there was nothing to admit, only to count. */
  unreadable(record: RequestRecord, downstream: Downstream): void;
}
