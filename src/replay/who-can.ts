/** Who may call a service, and by which rules. */

import { parseServiceRef, type ServiceRef } from "../policy/names.ts";
import { declaredServices, type ServiceName } from "../projections/call-graph.ts";
import type { RuleOrigin } from "../projections/snapshot.ts";
import type { CallJudge } from "./call.ts";
import { type CallSet, callSets, describeCalls, probesOf } from "./probes.ts";

/** What one service may ask of another. */
export interface CallerAccess {
  readonly caller: ServiceRef;
  readonly calls: readonly CallSet[];
  /** The same in words. */
  readonly words: readonly string[];
  /** The rules that allow it; none where the mesh allows what no rule speaks of. */
  readonly origins: readonly RuleOrigin[];
}

/** Every declared service of which some call is allowed, by name; only calls of that method and path where given. */
export function callersWithAccess(
  judge: CallJudge,
  service: ServiceName,
  only?: { readonly method: string; readonly path: string },
): CallerAccess[] {
  const callers = [...declaredServices(judge.state)].sort();
  return callers.flatMap((ref) => {
    const source = parseServiceRef(ref);
    if (source === undefined) return [];
    const access = only === undefined ? allAccess(judge, source, service) : oneAccess(judge, source, service, only);
    return access === undefined ? [] : [{ caller: ref, ...access }];
  });
}

type Access = Omit<CallerAccess, "caller">;

function oneAccess(
  judge: CallJudge,
  source: ServiceName,
  destination: ServiceName,
  { method, path }: { readonly method: string; readonly path: string },
): Access | undefined {
  const { allowed, outcomes } = judge.judge({ source, destination, method, path, headers: [] });
  if (!allowed) return undefined;
  const origins = outcomes.flatMap(({ access }) => access?.origin ?? []);
  return { calls: [{ methods: [method], paths: [path] }], words: [`${method} ${path}`], origins: unique(origins) };
}

function allAccess(judge: CallJudge, source: ServiceName, destination: ServiceName): Access | undefined {
  const probes = probesOf(judge.inbound(destination).snapshot.inbound.access);
  const origins: RuleOrigin[] = [];
  const calls = callSets(probes, (method, path, { headers, facts }) => {
    const decision = judge.accessOf(source, destination, { method, target: path, headers, facts });
    if (decision?.allowed === true && decision.origin !== undefined) origins.push(decision.origin);
    return decision?.allowed === true;
  });
  if (calls.length === 0) return undefined;
  return { calls, words: calls.map((set) => describeCalls(set, probes)), origins: unique(origins) };
}

function unique(origins: readonly RuleOrigin[]): RuleOrigin[] {
  return [...new Set(origins)];
}
