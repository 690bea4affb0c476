/** `fault-inject` and `fault-clear`: failures made on purpose, as an operation and not as policy. */

import { serviceRef } from "../policy/names.ts";
import { nearest } from "../policy/nearest.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Refusal } from "./commands.ts";
import { type Plan, problem, recording, refuse, refuseForeign } from "./decision-plan.ts";
import type { DomainEvent } from "./domain-events.ts";
import { EMPTY_NAMESPACE, type MeshState } from "./state.ts";

type Body<K extends CommandBody["kind"]> = Extract<CommandBody, { kind: K }>;

/** Of one namespace at a time: each is asked of every request to its service. */
const FAULTS_MAX = 64;

/** Refuses a service that is not declared, and an id that is in use. */
export function planFaultInject(
  state: MeshState,
  namespace: string,
  { kind: _, service, ...said }: Body<"fault-inject">,
): Result<Plan, Refusal> {
  const ref = serviceRef(service.namespace, service.name);
  const foreign = refuseForeign(service, namespace);
  if (foreign !== undefined) return foreign;
  const { services, faults } = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  if (!services.has(service.name)) {
    const meant = nearest(service.name, services.keys());
    const advice = meant === undefined ? "" : `; did you mean ${serviceRef(namespace, meant)}?`;
    return refuse(problem("service", `${ref} is not declared${advice}`));
  }
  if (faults.has(said.id)) return refuse(problem("id", `there is a fault ${said.id} already`));
  if (faults.size >= FAULTS_MAX) {
    return refuse(problem("", `${namespace} has ${faults.size} faults, and no more are allowed: heddle fault clear`));
  }
  return recording({ type: "FaultInjected", namespace, service: service.name, ...said });
}

/** Clears one fault by its id, or all of a service. */
export function planFaultClear(
  state: MeshState,
  namespace: string,
  { service, id }: Body<"fault-clear">,
): Result<Plan, Refusal> {
  const { faults } = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  const cleared = [...faults].filter(([name, fault]) => {
    return (id === undefined || name === id) && (service === undefined || fault.service === service);
  });
  if (cleared.length === 0) {
    const what = id === undefined ? "fault" : `fault ${id}`;
    const where = service === undefined ? namespace : serviceRef(namespace, service);
    return refuse(problem("", `${where} has no ${what}: see \`heddle fault list\``));
  }
  const facts = cleared.map(([name, fault]) => clearing(namespace, fault.service, name));
  return ok({ wanted: [], facts, warnings: [] });
}

/**
 * What a namespace did not have then and has now: whoever goes back leaves it behind. What was cleared stays cleared.
 */
export function faultsSince(then: MeshState, now: MeshState, namespace: string): DomainEvent[] {
  const before = then.namespaces.get(namespace)?.faults;
  const { faults } = now.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  return [...faults].filter(([id]) => !before?.has(id)).map(([id, { service }]) => clearing(namespace, service, id));
}

function clearing(namespace: string, service: string, id: string): DomainEvent {
  return { type: "FaultCleared", namespace, service, id };
}
