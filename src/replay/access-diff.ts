/** Which calls became possible between two states of the mesh, and which are possible no longer. */

import type { MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName } from "../projections/call-graph.ts";
import type { CalledSnapshot } from "../projections/snapshot.ts";
import { CallJudge } from "./call.ts";
import { type CallerKind, outsideCallers, serviceCallers } from "./callers.ts";
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
  const services = altered(serviceCallers(before), serviceCallers(after));
  const called = [...new Set([...declaredServices(before), ...declaredServices(after)])].sort();
  return called.flatMap((service) => {
    const name = nameOf(service);
    const [was, is] = judges.map((judge) => judge.inbound(name).snapshot);
    if (was === undefined || is === undefined) return [];
    const outside = altered(outsideCallers(judges[0], name), outsideCallers(judges[1], name));
    // Where the rules are the same, only who came or went makes a difference.
    const sameRules = !services.cameOrWent.has(service) && rulesText(was) === rulesText(is);
    const which = sameRules ? "cameOrWent" : "all";
    const callers = [...services[which].values(), ...outside[which].values()];
    const meant = callers.filter((kind) => passes(filter, kind.name, service));
    if (meant.length === 0) return [];
    const probes = probesOf([...was.inbound.access, ...is.inbound.access]);
    return meant.flatMap((kind) => pairDifferences(kind, service, judges, probes));
  });
}

type CallersByName = ReadonlyMap<string, CallerKind>;

/** Callers of two moments by name, the later one's facts where both have them. */
function altered(
  were: readonly CallerKind[],
  are: readonly CallerKind[],
): { readonly all: CallersByName; readonly cameOrWent: CallersByName } {
  const [earlier, later] = [were, are].map((kinds) => new Map(kinds.map((kind) => [kind.name, kind])));
  const all = new Map([...(earlier ?? []), ...(later ?? [])]);
  const cameOrWent = new Map([...all].filter(([name]) => earlier?.has(name) !== later?.has(name)));
  return { all, cameOrWent };
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
