/** Who may call a service, and by which rules. */

import type { ServiceName } from "../projections/call-graph.ts";
import type { RuleOrigin } from "../projections/snapshot.ts";
import type { Call, CallJudge } from "./call.ts";
import { type CallerKind, callerKinds } from "./callers.ts";
import { type CallSet, callSets, describeCalls, probesOf } from "./probes.ts";

/** What callers of one kind may ask of a service. */
export interface CallerAccess {
  /** `shop/web`; `none` for those without an identity, `spiffe://partner.example/*` for those of other trust domains. */
  readonly caller: string;
  readonly calls: readonly CallSet[];
  /** The same in words. */
  readonly words: readonly string[];
  /** The rules that allow it; none where the mesh allows what no rule speaks of. */
  readonly origins: readonly RuleOrigin[];
}

/** One call, whoever makes it. */
export type OnlyCall = Pick<Call, "method" | "path" | "headers" | "facts">;

/** Every kind of callers of which some call is allowed, services first; only that call where one is given. */
export function callersWithAccess(judge: CallJudge, service: ServiceName, only?: OnlyCall): CallerAccess[] {
  return callerKinds(judge, service).flatMap((kind) => {
    const access = only === undefined ? allAccess(judge, kind, service) : oneAccess(judge, kind, service, only);
    return access === undefined ? [] : [{ caller: kind.name, ...access }];
  });
}

type Access = Omit<CallerAccess, "caller">;

function oneAccess(judge: CallJudge, kind: CallerKind, destination: ServiceName, only: OnlyCall): Access | undefined {
  const { method, path } = only;
  const { source, facts } = kind;
  const { allowed, outcomes } = judge.judge({ ...only, source, destination, facts: { ...facts, ...only.facts } });
  if (!allowed) return undefined;
  const origins = outcomes.flatMap(({ access }) => access?.origin ?? []);
  const isTcp = path === "";
  const words = [isTcp ? "a connection" : `${method} ${path}`];
  return { calls: [{ methods: [method], paths: [path] }], words, origins: unique(origins) };
}

function allAccess(judge: CallJudge, { source, facts: own }: CallerKind, destination: ServiceName): Access | undefined {
  const probes = probesOf(judge.inbound(destination).snapshot.inbound.access);
  const origins: RuleOrigin[] = [];
  const calls = callSets(probes, (method, path, { headers, facts }) => {
    const decision = judge.accessOf(source, destination, {
      method,
      target: path,
      headers,
      facts: { ...own, ...facts },
    });
    if (decision?.allowed === true && decision.origin !== undefined) origins.push(decision.origin);
    return decision?.allowed === true;
  });
  if (calls.length === 0) return undefined;
  return { calls, words: calls.map((set) => describeCalls(set, probes)), origins: unique(origins) };
}

function unique(origins: readonly RuleOrigin[]): RuleOrigin[] {
  return [...new Set(origins)];
}
