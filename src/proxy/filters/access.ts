/**
 * Who may call this service, compiled once per snapshot. A denial wins over any grant; where neither matches, the
 * default decides. Audit rules and policies in dry run decide nothing: what they say is reported beside the decision.
 * Pure: the sidecar enforces with it, and `replay` asks it what would have been allowed.
 */

import type { RuleOrigin, ServiceSnapshot, SnapshotAccessRule } from "../../projections/snapshot.ts";
import {
  type ConditionName,
  compileCallers,
  compilePeerConditions,
  compileRequestConditions,
  type PeerCondition,
  pathOf,
  type RequestCondition,
} from "./access-conditions.ts";
import type { AccessPeer, AccessRequest, Caller } from "./access-input.ts";

/**
 * - `allow_rule`, `deny_rule`: the rule at `origin` decided.
 * - `default`: no rule matched, and the default allows or denies what no rule mentions.
 * - `unauthenticated`: as `default`, denied, and the caller proved no identity.
 */
export type DecisionReason = "allow_rule" | "deny_rule" | "default" | "unauthenticated";

/** What access policy says to one request. */
export interface Decision {
  readonly allowed: boolean;
  readonly reason: DecisionReason;
  /** The deciding rule; undefined where the default decided. */
  readonly origin: RuleOrigin | undefined;
  /** When nothing allowed the call: the allow rule for this caller that came closest, if there is one. */
  readonly nearest: NearestGrant | undefined;
  /** What audit rules and policies in dry run say to it; empty nearly always. */
  readonly audit: readonly AuditFinding[];
}

/** An allow rule that did not match, and why. */
export interface NearestGrant {
  readonly rule: SnapshotAccessRule;
  /** The conditions that did not hold. */
  readonly unmet: readonly ConditionName[];
}

/**
 * - `would_match`: the audit rule at `origin` matches.
 * - `would_deny`, `would_allow`: were the policies in dry run in force, the call would be decided so, by the rule at
 *   `origin`, or by the default where it is undefined.
 */
export interface AuditFinding {
  readonly outcome: "would_match" | "would_deny" | "would_allow";
  readonly origin: RuleOrigin | undefined;
}

export type Access = (peer: AccessPeer, request: AccessRequest) => Decision;

interface CompiledRule {
  readonly source: SnapshotAccessRule;
  readonly decision: Decision;
  readonly finding: AuditFinding;
  isAbout(caller: Caller | undefined): boolean;
  readonly onPeer: readonly PeerCondition[];
  readonly onRequest: readonly RequestCondition[];
}

/** The rules whose conditions on the connection hold, so that a request is asked for nothing twice. */
interface Verdicts {
  readonly denials: readonly CompiledRule[];
  readonly grants: readonly CompiledRule[];
  /** Grants for this caller that other facts of the connection keep out. */
  readonly missed: readonly CompiledRule[];
}

/** One set of rules with its default: those in force, and those that would be. */
interface RuleSet {
  select(peer: AccessPeer): Verdicts;
  readonly byDefault: Decision;
  readonly unauthenticated: Decision;
}

const NO_FINDINGS: readonly AuditFinding[] = [];

/** Compiles the inbound half of a snapshot. */
export function compileAccess(
  inbound: Pick<ServiceSnapshot["inbound"], "access" | "accessDefault" | "accessDefaultDryRun">,
): Access {
  const rules = inbound.access.map(compileRule);
  const enforced = rules.filter(({ source }) => source.dryRun !== true);
  const decide = compileSet(enforced, inbound.accessDefault);
  const audits = enforced.filter(({ source }) => source.action === "audit");
  const hasDryRun = enforced.length < rules.length || inbound.accessDefaultDryRun !== undefined;
  if (audits.length === 0 && !hasDryRun) return decide;
  const rehearse = hasDryRun ? compileSet(rules, inbound.accessDefaultDryRun ?? inbound.accessDefault) : undefined;
  return (peer, request) => {
    const decision = decide(peer, request);
    const audit: AuditFinding[] = audits.filter((rule) => matches(rule, peer, request)).map(({ finding }) => finding);
    const rehearsed = rehearse?.(peer, request);
    if (rehearsed !== undefined && rehearsed.allowed !== decision.allowed) {
      audit.push({ outcome: rehearsed.allowed ? "would_allow" : "would_deny", origin: rehearsed.origin });
    }
    return audit.length === 0 ? decision : { ...decision, audit };
  };
}

function compileSet(rules: readonly CompiledRule[], accessDefault: "allow" | "deny"): Access {
  const set = ruleSet(rules, accessDefault);
  return (peer, request) => {
    const { denials, grants, missed } = set.select(peer);
    const path = pathOf(request);
    const decider =
      denials.find((rule) => requestMatches(rule, request, path)) ??
      grants.find((rule) => requestMatches(rule, request, path));
    if (decider !== undefined) return decider.decision;
    const undecided = peer.caller === undefined ? set.unauthenticated : set.byDefault;
    if (undecided.allowed || grants.length + missed.length === 0) return undecided;
    return { ...undecided, nearest: nearestGrant([...grants, ...missed], peer, request, path) };
  };
}

function ruleSet(rules: readonly CompiledRule[], accessDefault: "allow" | "deny"): RuleSet {
  const allowed = accessDefault === "allow";
  const byDefault = { allowed, reason: "default", origin: undefined, nearest: undefined, audit: NO_FINDINGS } as const;
  const known = new WeakMap<AccessPeer, Verdicts>();
  return {
    byDefault,
    unauthenticated: allowed ? byDefault : { ...byDefault, reason: "unauthenticated" },
    select(peer) {
      let verdicts = known.get(peer);
      if (verdicts === undefined) {
        verdicts = selectRules(rules, peer);
        known.set(peer, verdicts);
      }
      return verdicts;
    },
  };
}

function selectRules(rules: readonly CompiledRule[], peer: AccessPeer): Verdicts {
  const concerning = rules.filter((rule) => rule.isAbout(peer.caller));
  const [holding, failing] = [true, false].map((wanted) =>
    concerning.filter(({ onPeer }) => onPeer.every(({ holds }) => holds(peer)) === wanted),
  );
  const of = (list: readonly CompiledRule[] = [], action: string): CompiledRule[] =>
    list.filter(({ source }) => source.action === action);
  return { denials: of(holding, "deny"), grants: of(holding, "allow"), missed: of(failing, "allow") };
}

function requestMatches({ onRequest }: CompiledRule, request: AccessRequest, path: string): boolean {
  for (const condition of onRequest) if (!condition.holds(request, path)) return false;
  return true;
}

function matches(rule: CompiledRule, peer: AccessPeer, request: AccessRequest): boolean {
  return (
    rule.isAbout(peer.caller) &&
    rule.onPeer.every(({ holds }) => holds(peer)) &&
    requestMatches(rule, request, pathOf(request))
  );
}

/** Of grants that do not match, one that the fewest conditions keep out; of those, one that has the path right. */
function nearestGrant(
  grants: readonly CompiledRule[],
  peer: AccessPeer,
  request: AccessRequest,
  path: string,
): NearestGrant | undefined {
  const candidates = grants.map(({ source, onPeer, onRequest }) => {
    const unmet = [
      ...onPeer.filter(({ holds }) => !holds(peer)),
      ...onRequest.filter(({ holds }) => !holds(request, path)),
    ].map(({ name }) => name);
    return { rule: source, unmet: [...new Set(unmet)] };
  });
  const distance = ({ unmet }: NearestGrant): number => unmet.length * 2 + (unmet.includes("paths") ? 1 : 0);
  return candidates.reduce<NearestGrant | undefined>(
    (best, one) => (best === undefined || distance(one) < distance(best) ? one : best),
    undefined,
  );
}

function compileRule(source: SnapshotAccessRule): CompiledRule {
  const { action, origin } = source;
  const allowed = action === "allow";
  const reason = allowed ? "allow_rule" : "deny_rule";
  return {
    source,
    decision: { allowed, reason, origin, nearest: undefined, audit: NO_FINDINGS },
    finding: { outcome: "would_match", origin },
    isAbout: compileCallers(source),
    onPeer: compilePeerConditions(source),
    onRequest: compileRequestConditions(source),
  };
}
