/** `shift`: move traffic between a service's subsets by percentages. */

import { keyOf } from "../policy/document-key.ts";
import { serviceRef } from "../policy/names.ts";
import { nearest } from "../policy/nearest.ts";
import { ok, type Result } from "../policy/result.ts";
import { API_VERSION, type RoutePrecedence, type RouteRule, type ServiceSpec } from "../policy/schema.ts";
import { type Backends, backendKey, backendWeights, otherServiceOf, withWeights } from "./backend-weights.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { type Plan, planDocument, problem, refuse, refuseForeign } from "./decision-plan.ts";
import { EMPTY_NAMESPACE, type MeshState, type NamespaceState } from "./state.ts";
import { sameSplit, splitTraffic } from "./traffic-split.ts";

type ShiftBody = Extract<CommandBody, { kind: "shift" }>;

/** Where the rule to change stands; `rule` is undefined where it has yet to be written. */
interface Place {
  readonly route: string;
  readonly rules: readonly RouteRule[];
  readonly precedence: RoutePrecedence | undefined;
  readonly index: number;
  readonly rule: RouteRule | undefined;
}

/** New weights for the backends of one rule; the subsets that are not named share the rest. */
export function planShift(state: MeshState, namespace: string, body: ShiftBody): Result<Plan, Refusal> {
  const { service } = body;
  const ref = serviceRef(service.namespace, service.name);
  const foreign = refuseForeign(service, namespace);
  if (foreign !== undefined) return foreign;
  const inNamespace = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  const spec = inNamespace.services.get(service.name)?.value;
  if (spec === undefined) {
    const meant = nearest(service.name, inNamespace.services.keys());
    const advice = meant === undefined ? "" : `; did you mean ${serviceRef(namespace, meant)}?`;
    return refuse(problem("service", `there is no service ${ref}${advice}`));
  }
  const place = findPlace(inNamespace, namespace, body);
  if (!place.ok) return place;
  const backends = shiftableBackends(place.value.rule, spec, body);
  if (!backends.ok) return backends;
  const old = backendWeights(backends.value);
  const split = splitTraffic(old, new Map(Object.entries(body.percent)));
  if (!split.ok) return refuse(problem("percent", split.error));
  if (place.value.rule?.backends !== undefined && sameSplit(old, split.value)) {
    return ok({ wanted: [], warnings: [`traffic of ${ref} is already split so`] });
  }
  const { route, rules, precedence, index, rule } = place.value;
  const shifted = { ...rule, backends: withWeights(backends.value, Object.fromEntries(split.value)) };
  return planDocument({
    apiVersion: API_VERSION,
    kind: "Route",
    metadata: { namespace, name: route },
    spec: {
      service: service.name,
      ...(precedence === undefined ? {} : { precedence }),
      rules: rules.toSpliced(index, 1, shifted),
    },
  });
}

/** A service has at most one route; without one, a route of the service's own name is made. */
function findPlace(state: NamespaceState, namespace: string, { service, rule }: ShiftBody): Result<Place, Refusal> {
  const existing = [...state.routes].find(([, route]) => route.service === service.name);
  const [route, { rules: stated, precedence }] = existing ?? [service.name, { rules: [], precedence: undefined }];
  const rules = stated.map(({ value }) => value);
  if (existing === undefined) {
    const taken = state.routes.get(route);
    if (taken !== undefined) {
      const message = `${keyOf("Route", namespace, route)} is about ${serviceRef(namespace, taken.service)}; apply a route of another name`;
      return refuse(problem("service", message));
    }
  }
  const index = rule ?? rules.findLastIndex(({ match }) => match === undefined);
  if (rule === undefined && index < 0) return ok({ route, rules, precedence, index: rules.length, rule: undefined });
  const found = rules[index];
  if (found !== undefined) return ok({ route, rules, precedence, index, rule: found });
  const has = rules.length === 0 ? "has no rules yet" : `has rules 0 to ${rules.length - 1}`;
  return refuse(problem("rule", `there is no rule ${index}: ${keyOf("Route", namespace, route)} ${has}`));
}

/**
 * The rule's backends, and those subsets of the service, and other services, that are named though the rule sends
 * nothing to them yet: that is how a canary begins. Where there is nothing to start from, all subsets of the service at
 * weight zero.
 */
function shiftableBackends(
  rule: RouteRule | undefined,
  spec: ServiceSpec,
  { percent, service }: ShiftBody,
): Result<Backends, Refusal> {
  const declared = Object.keys(spec.subsets ?? {});
  const present: Backends = rule?.backends ?? declared.map((subset) => ({ subset, weight: 0 }));
  const names = new Set(present.map(backendKey));
  const added = Object.keys(percent).filter((subset) => !names.has(subset));
  const unknown = added.filter((key) => !declared.includes(key) && otherServiceOf(key) === undefined);
  if (unknown.length > 0) {
    const ref = serviceRef(service.namespace, service.name);
    const there = declared.length === 0 ? "it declares none" : `there are: ${declared.join(", ")}`;
    return refuse(...unknown.map((subset) => problem(`percent.${subset}`, `${ref} has no subset ${subset}; ${there}`)));
  }
  if (Object.keys(percent).length === 0)
    return refuse(problem("percent", "name at least one subset and its percentage"));
  const begun = added.map((key) => {
    const other = otherServiceOf(key);
    return other === undefined ? { subset: key, weight: 0 } : { service: other, weight: 0 };
  });
  // A service that went nowhere else until now went to all of its own instances.
  const own = present.length > 0 || begun.every((backend) => "subset" in backend) ? present : [{ weight: 1 }];
  return ok([...own, ...begun]);
}
