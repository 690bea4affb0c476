/** Which calls became possible between two states of the mesh, and which are possible no longer. */

import type { MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName } from "../projections/call-graph.ts";
import type { ServiceSnapshot } from "../projections/snapshot.ts";
import { CallJudge } from "./call.ts";
import type { ProbeContext } from "./probe-contexts.ts";
import { type CallSet, callSets, describeCalls, type Probes, probesOf } from "./probes.ts";

/** What changed for one caller of one service. */
export interface AccessDifference {
  readonly caller: ServiceRef;
  readonly service: ServiceRef;
  readonly change: "started" | "stopped";
  readonly calls: readonly CallSet[];
  /** The same in words. */
  readonly words: readonly string[];
}

export interface AccessDiffFilter {
  /** Only where a service of this namespace calls or is called. */
  readonly namespace?: string | undefined;
  /** Only what concerns this service, as caller or called. */
  readonly service?: ServiceRef | undefined;
}

/** In order of the called service, then the caller; what stopped stands before what started. */
export function accessDiff(before: MeshState, after: MeshState, filter: AccessDiffFilter = {}): AccessDifference[] {
  const [were, are] = [declaredServices(before), declaredServices(after)];
  const judges = [new CallJudge(before), new CallJudge(after)] as const;
  const all = [...new Set([...were, ...are])].sort();
  return all.flatMap((service) => {
    const [was, is] = judges.map((judge) => judge.inbound(nameOf(service)).snapshot);
    if (was === undefined || is === undefined) return [];
    // Where the rules are the same, only who came or went makes a difference.
    const sameRules = were.has(service) === are.has(service) && rulesText(was) === rulesText(is);
    const callers = sameRules ? all.filter((caller) => were.has(caller) !== are.has(caller)) : all;
    const meant = callers.filter((caller) => passes(filter, caller, service));
    if (meant.length === 0) return [];
    const probes = probesOf([...was.inbound.access, ...is.inbound.access]);
    return meant.flatMap((caller) => pairDifferences(caller, service, judges, probes));
  });
}

function pairDifferences(
  caller: ServiceRef,
  service: ServiceRef,
  [was, is]: readonly [CallJudge, CallJudge],
  probes: Probes,
): AccessDifference[] {
  const [source, destination] = [nameOf(caller), nameOf(service)];
  const allowed = (judge: CallJudge, method: string, target: string, { headers, facts }: ProbeContext): boolean =>
    judge.accessOf(source, destination, { method, target, headers, facts })?.allowed === true;
  const stopped = callSets(probes, (...call) => allowed(was, ...call) && !allowed(is, ...call));
  const started = callSets(probes, (...call) => !allowed(was, ...call) && allowed(is, ...call));
  const difference = (change: AccessDifference["change"], calls: CallSet[]): AccessDifference[] => {
    if (calls.length === 0) return [];
    return [{ caller, service, change, calls, words: calls.map((set) => describeCalls(set, probes)) }];
  };
  return [...difference("stopped", stopped), ...difference("started", started)];
}

function passes({ namespace, service: wanted }: AccessDiffFilter, caller: ServiceRef, service: ServiceRef): boolean {
  if (wanted !== undefined && wanted !== caller && wanted !== service) return false;
  return namespace === undefined || [caller, service].some((ref) => ref.startsWith(`${namespace}/`));
}

/** Without where the rules come from: who wrote a rule does not change what it allows. */
function rulesText({ inbound, revocations }: ServiceSnapshot): string {
  const access = inbound.access.map((rule) => ({ ...rule, origin: undefined }));
  return canonicalJson({ ...inbound, access, rateLimits: undefined, ports: undefined, revocations });
}

function nameOf(ref: ServiceRef): ServiceName {
  const name = parseServiceRef(ref);
  if (name === undefined) throw new Error(`not a service: ${ref}`);
  return name;
}
