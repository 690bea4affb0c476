/**
 * Who may call this service, compiled once per snapshot. A denial wins over any grant; where neither matches, the
 * mesh's default decides. Pure: the sidecar enforces with it, and `replay` asks it what would have been allowed.
 */

import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { RuleOrigin, ServiceSnapshot, SnapshotAccessRule } from "../../projections/snapshot.ts";
import { looseReading, normalisePattern, pathEnd, withoutParameters } from "../route/path.ts";

/** The verified peer, from the SPIFFE ID of its certificate. Keep one object per connection: verdicts cache by it. */
export interface Caller {
  readonly namespace: string;
  readonly service: string;
}

/**
 * - `allow_rule`, `deny_rule`: the rule at `origin` decided.
 * - `default`: no rule matched, and the mesh allows or denies what no rule mentions.
 * - `unauthenticated`: no rule can allow a caller without a certificate, and the default denies.
 */
export type DecisionReason = "allow_rule" | "deny_rule" | "default" | "unauthenticated";

export interface Decision {
  readonly allowed: boolean;
  readonly reason: DecisionReason;
  /** The deciding rule; undefined where the default decided. */
  readonly origin: RuleOrigin | undefined;
  /** When nothing allowed the call: the allow rule for this caller that came closest, if there is one. */
  readonly nearest: SnapshotAccessRule | undefined;
}

/**
 * `method` as received (methods are case-sensitive, RFC 9110 §9.1), `target` the normalised path, its query ignored.
 * Undefined caller: no verified certificate.
 */
export type Access = (caller: Caller | undefined, method: string, target: string) => Decision;

interface CompiledRule {
  readonly source: SnapshotAccessRule;
  readonly decision: Decision;
  /** Undefined caller: unauthenticated. */
  appliesTo(caller: Caller | undefined): boolean;
  hasMethod(method: string): boolean;
  hasPath(path: string): boolean;
}

/** The rules that concern one caller, so that a request compares no names. */
interface Verdicts {
  readonly denials: readonly CompiledRule[];
  readonly grants: readonly CompiledRule[];
}

/** Compiles the inbound half of a snapshot. */
export function compileAccess(inbound: ServiceSnapshot["inbound"]): Access {
  const rules = inbound.access.map(compileRule);
  const allowedByDefault = inbound.accessDefault === "allow";
  const byDefault: Decision = { allowed: allowedByDefault, reason: "default", origin: undefined, nearest: undefined };
  const unauthenticated: Decision = allowedByDefault ? byDefault : { ...byDefault, reason: "unauthenticated" };
  const select = (caller: Caller | undefined): Verdicts => {
    const concerning = rules.filter((rule) => rule.appliesTo(caller));
    return {
      denials: concerning.filter(({ source }) => source.action === "deny"),
      grants: concerning.filter(({ source }) => source.action === "allow"),
    };
  };
  const verdictsOfNobody = select(undefined);
  const verdictsByCaller = new WeakMap<Caller, Verdicts>();
  const verdictsOf = (caller: Caller): Verdicts => {
    const known = verdictsByCaller.get(caller);
    if (known !== undefined) return known;
    const verdicts = select(caller);
    verdictsByCaller.set(caller, verdicts);
    return verdicts;
  };
  return (caller, method, target) => {
    const { denials, grants } = caller === undefined ? verdictsOfNobody : verdictsOf(caller);
    const path = target.slice(0, pathEnd(target));
    const matches = (rule: CompiledRule) => rule.hasMethod(method) && rule.hasPath(path);
    const decider = denials.find(matches) ?? grants.find(matches);
    if (decider !== undefined) return decider.decision;
    if (caller === undefined) return unauthenticated;
    if (allowedByDefault || grants.length === 0) return byDefault;
    return { ...byDefault, nearest: nearestGrant(grants, method, path) };
  };
}

/** Of grants that do not match, one that only the method keeps out, else one that only the path does, else the first. */
function nearestGrant(grants: readonly CompiledRule[], method: string, path: string): SnapshotAccessRule | undefined {
  const nearest =
    grants.find((grant) => grant.hasPath(path)) ?? grants.find((grant) => grant.hasMethod(method)) ?? grants[0];
  return nearest?.source;
}

function compileRule(source: SnapshotAccessRule): CompiledRule {
  const allowed = source.action === "allow";
  const methods = source.methods && new Set(source.methods);
  const hasPath = source.paths === undefined ? () => true : compilePaths(source.paths, source.action);
  return {
    source,
    decision: {
      allowed,
      reason: allowed ? "allow_rule" : "deny_rule",
      origin: source.origin,
      nearest: undefined,
    },
    appliesTo: compileCallers(source),
    hasMethod: (method) => methods === undefined || methods.has(method),
    hasPath,
  };
}

/**
 * Whom a rule is about. Without `from`, or with `*`, an allow rule means every authenticated caller and a deny rule
 * everybody: under a default of `allow`, leaving the certificate at home must not lift a denial.
 */
function compileCallers({ action, from }: SnapshotAccessRule): (caller: Caller | undefined) => boolean {
  if (from === undefined || from.includes("*")) {
    return action === "deny" ? () => true : (caller) => caller !== undefined;
  }
  const services = new Set<string>(from);
  return (caller) => caller !== undefined && (services.has(callerRef(caller)) || services.has(`${caller.namespace}/*`));
}

/** `namespace/service` of a caller. */
export function callerRef(caller: Caller): ServiceRef {
  return serviceRef(caller.namespace, caller.service);
}

/**
 * Paths of a rule: exact, or a plain prefix when the pattern ends in `*`. A grant takes the normalised path at its
 * word. A denial also holds for every path that a lenient application could take for a denied one.
 */
function compilePaths(patterns: readonly string[], action: SnapshotAccessRule["action"]): (path: string) => boolean {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  for (const pattern of patterns) {
    const isPrefix = pattern.endsWith("*");
    const strict = normalisePattern(isPrefix ? pattern.slice(0, -1) : pattern);
    const readings = action === "deny" ? [strict, looseReading(strict)] : [strict];
    for (const reading of readings) {
      if (isPrefix) prefixes.push(reading);
      else exact.add(reading);
    }
  }
  const matches = (path: string) => exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix));
  if (action === "allow") return matches;
  return (path) => {
    if (matches(path)) return true;
    if (!LENIENT.test(path)) return false;
    const loose = looseReading(path);
    return matches(loose) || matches(withoutParameters(loose));
  };
}

/** What an application could read in more than one way: escapes and path parameters. */
const LENIENT = /[%;]/;
