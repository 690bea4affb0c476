/**
 * What other policy would make of calls that there really were. Each kind of call is judged twice by the sidecars' own
 * functions, under policy as it is and under the candidate; what differs is the answer.
 *
 * The traffic ledger keeps no headers, claims or addresses. Where sidecars decided otherwise than policy now says of
 * the bare call, such a condition or an earlier policy was at work, and the calls are named as uncertain.
 */

import type { Refusal } from "../events/commands.ts";
import type { DecidableCommand } from "../events/decide.ts";
import { decide } from "../events/decide.ts";
import { evolve } from "../events/evolve.ts";
import type { MeshState, Origin } from "../events/state.ts";
import { parseServiceRef } from "../policy/names.ts";
import { err, ok, type Result } from "../policy/result.ts";
import { ANY_PATH, exampleOf } from "../telemetry/path-template.ts";
import { type Call, CallJudge, type Judgement } from "./call.ts";
import type { ObservedCalls } from "./traffic-table.ts";

/** How the candidate differs for calls of one kind. */
export type FlipKind = "denied" | "allowed" | "rerouted";

export interface Flip {
  readonly kind: FlipKind;
  readonly observed: ObservedCalls;
  readonly call: Call;
  readonly before: Judgement;
  readonly after: Judgement;
}

export interface WhatIf {
  /** Those that would be refused first, then the most frequent. */
  readonly flips: readonly Flip[];
  /** Calls that were judged. */
  readonly judged: number;
  /** Of them, those of which the sidecars decided otherwise than policy now says. */
  readonly uncertain: number;
  /** Calls of which too little is known: of callers without identity, or without room to tell their paths apart. */
  readonly unjudged: number;
}

const KINDS: readonly FlipKind[] = ["denied", "allowed", "rerouted"];

/** The mesh after these commands, or why the first that is refused is. Nothing is sent to anybody. */
export function candidateState(
  state: MeshState,
  commands: Iterable<DecidableCommand>,
  now: Origin,
): Result<MeshState, Refusal> {
  let next = state;
  for (const command of commands) {
    const decision = decide(next, command);
    if (!decision.ok) return err(decision.error);
    for (const event of decision.value.events) next = evolve(next, event, now);
  }
  return ok(next);
}

/** Judges every kind of call under both states. */
export function whatIf(calls: Iterable<ObservedCalls>, now: MeshState, candidate: MeshState): WhatIf {
  const [present, future] = [new CallJudge(now), new CallJudge(candidate)];
  const flips: Flip[] = [];
  let [judged, uncertain, unjudged] = [0, 0, 0];
  for (const observed of calls) {
    const call = callOf(observed);
    if (call === undefined) {
      unjudged += observed.count;
      continue;
    }
    judged += observed.count;
    const [before, after] = [present.judge(call), future.judge(call)];
    uncertain += contradicted(observed, before);
    const kind = flipOf(before, after);
    if (kind !== undefined) flips.push({ kind, observed, call, before, after });
  }
  flips.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.observed.count - a.observed.count);
  return { flips, judged, uncertain, unjudged };
}

/** Some call of the kind; undefined where too little is known of it. */
function callOf({ source, destination, method, path }: ObservedCalls): Call | undefined {
  const [from, to] = [parseServiceRef(source ?? ""), parseServiceRef(destination ?? "")];
  if (from === undefined || to === undefined || path === ANY_PATH) return undefined;
  return { source: from, destination: to, method, path: exampleOf(path), headers: [] };
}

function flipOf(before: Judgement, after: Judgement): FlipKind | undefined {
  if (before.allowed && !after.allowed) return "denied";
  if (!before.allowed && after.allowed) return "allowed";
  if (before.allowed && whereTo(before) !== whereTo(after)) return "rerouted";
  return undefined;
}

/** `75% shop/api v1, 25% shop/api v2`: where such calls arrive. */
export function whereTo({ outcomes }: Judgement): string {
  const [only] = outcomes;
  const nameOf = (service: string, subset: string | undefined): string =>
    subset === undefined ? service : `${service} ${subset}`;
  if (only !== undefined && outcomes.length === 1) return nameOf(only.service, only.subset);
  return outcomes
    .map(({ share, service, subset }) => `${Math.round(share * 1_000) / 10}% ${nameOf(service, subset)}`)
    .join(", ");
}

/** Calls that were let through though policy now refuses them, or refused though it lets them through. */
function contradicted({ decisions }: ObservedCalls, { allowed }: Judgement): number {
  return (allowed ? decisions.denied : decisions.allowed) ?? 0;
}
