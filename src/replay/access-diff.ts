/** Which calls became possible between two states of the mesh, and which are possible no longer. */

import type { MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName } from "../projections/call-graph.ts";
import type { CalledSnapshot } from "../projections/snapshot.ts";
import { CallJudge } from "./call.ts";
import { type CallerKind, callerKinds } from "./callers.ts";
import type { ProbeContext } from "./probe-contexts.ts";
import { type CallSet, callSets, describeCalls, type Probes, probesOf } from "./probes.ts";

/** What changed for one caller of one service. */
export interface AccessDifference {
  /**
   * `shop/web`; `none` for those without an identity, `spiffe://partner.example/*` for those of other trust domains.
   */
  readonly caller: string;
  readonly service: ServiceRef;
  readonly change: "started" | "stopped";
  readonly calls: readonly CallSet[];
  /** The same in words. */
  readonly words: readonly string[];
}

/** What to limit a comparison to. */
export interface AccessDiffFilter {
  /** Only where a service of this namespace calls or is called. */
  readonly namespace?: string | undefined;
  /** Only what concerns this service, as caller or called. */
  readonly service?: ServiceRef | undefined;
}

/**
 * In order of the called service, then the caller: services, and then those from outside the mesh; what stopped stands
 * before what started.
 */
export function accessDiff(before: MeshState, after: MeshState, filter: AccessDiffFilter = {}): AccessDifference[] {
  const judges = [new CallJudge(before), new CallJudge(after)] as const;
  const [were, are] = [declaredServices(before), declaredServices(after)];
  const sameMesh = isSame(were, are) && isSame(new Set(before.federation.keys()), new Set(after.federation.keys()));
  return [...were.union(are)].sort().flatMap((service) => {
    const name = nameOf(service);
    const [was, is] = judges.map((judge) => judge.inbound(name).snapshot);
    if (was === undefined || is === undefined) return [];
    // Where the rules are the same, only callers who came or went make a difference.
    const sameRules = were.has(service) === are.has(service) && rulesText(was) === rulesText(is);
    if (sameRules && sameMesh) return [];
    const callers = joined(callerKinds(judges[0], name), callerKinds(judges[1], name));
    const meant = callers.filter(({ kind, stayed }) => !(sameRules && stayed) && passes(filter, kind.name, service));
    if (meant.length === 0) return [];
    const probes = probesOf([...was.inbound.access, ...is.inbound.access]);
    return meant.flatMap(({ kind }) => pairDifferences(kind, service, judges, probes));
  });
}

function isSame<T>(one: ReadonlySet<T>, other: ReadonlySet<T>): boolean {
  return one.size === other.size && one.isSubsetOf(other);
}

/** Callers of two moments, the later one's facts where both have them. */
function joined(were: readonly CallerKind[], are: readonly CallerKind[]): { kind: CallerKind; stayed: boolean }[] {
  const earlier = new Set(were.map(({ name }) => name));
  const later = new Map(are.map((kind) => [kind.name, kind]));
  const left = were.map((kind) => ({ kind: later.get(kind.name) ?? kind, stayed: later.has(kind.name) }));
  const came = are.filter(({ name }) => !earlier.has(name)).map((kind) => ({ kind, stayed: false }));
  return [...left, ...came];
}

function pairDifferences(
  { name: caller, source, facts: own }: CallerKind,
  service: ServiceRef,
  [was, is]: readonly [CallJudge, CallJudge],
  probes: Probes,
): AccessDifference[] {
  const destination = nameOf(service);
  const allowed = (judge: CallJudge, method: string, target: string, { headers, facts }: ProbeContext): boolean =>
    judge.accessOf(source, destination, { method, target, headers, facts: { ...own, ...facts } })?.allowed === true;
  const stopped = callSets(probes, (...call) => allowed(was, ...call) && !allowed(is, ...call));
  const started = callSets(probes, (...call) => !allowed(was, ...call) && allowed(is, ...call));
  const difference = (change: AccessDifference["change"], calls: CallSet[]): AccessDifference[] => {
    if (calls.length === 0) return [];
    return [{ caller, service, change, calls, words: calls.map((set) => describeCalls(set, probes)) }];
  };
  return [...difference("stopped", stopped), ...difference("started", started)];
}

function passes({ namespace, service: wanted }: AccessDiffFilter, caller: string, service: ServiceRef): boolean {
  if (wanted !== undefined && wanted !== caller && wanted !== service) return false;
  return namespace === undefined || [caller, service].some((ref) => ref.startsWith(`${namespace}/`));
}

/** Without where the rules come from: who wrote a rule does not change what it allows. */
function rulesText({ inbound, revocations }: CalledSnapshot): string {
  const access = inbound.access.map((rule) => ({ ...rule, origin: undefined }));
  const modes = inbound.ports.map(({ mtls }) => mtls ?? "strict");
  return canonicalJson({ ...inbound, access, rateLimits: undefined, ports: undefined, modes, revocations });
}

function nameOf(ref: ServiceRef): ServiceName {
  const name = parseServiceRef(ref);
  if (name === undefined) throw new Error(`not a service: ${ref}`);
  return name;
}
