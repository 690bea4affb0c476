/** What a rule does to the requests that it matches, beside sending them somewhere; compiled once. */

import type { SnapshotFault, SnapshotMirror, SnapshotRouteRule } from "../../projections/snapshot.ts";
import { type Cors, compileCors } from "./cors.ts";
import { compileRedirect, compileRewrite, type Redirect, type Rewrite } from "./rewrite.ts";

export interface RuleFilters {
  readonly cors: Cors | undefined;
  readonly redirect: Redirect | undefined;
  readonly respond: SnapshotRouteRule["respond"];
  readonly rewrite: Rewrite | undefined;
  readonly requestBytesMax: number | undefined;
  readonly fault: SnapshotFault | undefined;
  readonly mirror: SnapshotMirror | undefined;
}

const NO_FILTERS: RuleFilters = {
  cors: undefined,
  redirect: undefined,
  respond: undefined,
  rewrite: undefined,
  requestBytesMax: undefined,
  fault: undefined,
  mirror: undefined,
};

/** What an operator injects takes the place of what the rule itself makes fail. */
export function withFault(
  filters: RuleFilters | undefined,
  injected: SnapshotFault | undefined,
): RuleFilters | undefined {
  return injected === undefined ? filters : { ...(filters ?? NO_FILTERS), fault: injected };
}

/** Undefined where the rule does nothing of the kind, which is nearly always. */
export function compileFilters(rule: SnapshotRouteRule): RuleFilters | undefined {
  const { cors, respond, requestBytesMax, fault, mirror } = rule;
  const filters: RuleFilters = {
    cors: cors && compileCors(cors),
    redirect: compileRedirect(rule),
    respond,
    rewrite: compileRewrite(rule),
    requestBytesMax,
    fault,
    mirror,
  };
  return Object.values(filters).every((filter) => filter === undefined) ? undefined : filters;
}
