/** Responses that a route rule has of its own. */

import { type FlagSet, NO_FLAGS } from "../telemetry/response-flags.ts";
import type { HeaderList } from "./codec/message.ts";
import { type FaultContext, type LocalResponse, localResponse } from "./respond.ts";

/** What a route rule answers by itself. */
export interface RuleContent {
  readonly status: number;
  /** For gRPC callers; absent: the one that the status maps to. */
  readonly grpcStatus?: number | undefined;
  readonly details: string;
  readonly flags?: FlagSet;
  readonly body?: string | undefined;
  readonly contentType?: string | undefined;
  readonly headers?: HeaderList;
}

/** A response that the rule itself has: a redirect, a text, a failure on purpose. */
export function ruleResponse(context: FaultContext, content: RuleContent): LocalResponse {
  const { status, grpcStatus, details, flags = NO_FLAGS, body = "", contentType, headers = [] } = content;
  const line = body === "" ? details : (body.split("\n")[0] ?? "");
  const response = localResponse(context, { status, grpcStatus, flags, details, line, body, headers });
  if (contentType === undefined || response.grpcStatus !== undefined) return response;
  const typed = response.head.headers.map((value, at, all) => (all[at - 1] === "content-type" ? contentType : value));
  return { ...response, head: { ...response.head, headers: typed } };
}
