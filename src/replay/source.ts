/** Who makes a call: a service of the mesh, or somebody who comes without one of its sidecars. */

import { NO_IDENTITY } from "../policy/principal.ts";
import type { ServiceName } from "../projections/call-graph.ts";
import { type Caller, callerRef } from "../proxy/filters/access-input.ts";

/** No sidecar of ours makes its calls: routes do not concern it, and the called side alone decides. */
export interface Outsider {
  /** What its certificate proves; undefined: it shows none. */
  readonly caller: Caller | undefined;
}

export type Source = ServiceName | Outsider;

/** Anybody who shows no certificate. */
export const NOBODY: Outsider = { caller: undefined };

/** Whether the caller is no declared service of this mesh. */
export function isOutsider(source: Source): source is Outsider {
  return "caller" in source;
}

/** As access rules name it: `shop/web`, `none`, or the SPIFFE ID of another trust domain. */
export function sourceText(source: Source): string {
  if (!isOutsider(source)) return `${source.namespace}/${source.name}`;
  return source.caller === undefined ? NO_IDENTITY : callerRef(source.caller);
}

/** A workload of our own trust domain is the service that its certificate names, whoever makes its calls. */
export function ownService(source: Source, trustDomain: string): Source {
  if (!isOutsider(source) || source.caller?.trustDomain !== trustDomain) return source;
  const { namespace, service } = source.caller;
  return { namespace, name: service };
}

/** What stands for a name that no rule says. */
const ANY_NAME = "x-heddle-any-other";

/**
 * Some workload to which a pattern such as `spiffe://partner.example/ns/shop/*` applies; undefined where none can be:
 * workloads are `/ns/<namespace>/sa/<service>`.
 */
export function exampleOf(pattern: string): Outsider | undefined {
  const [trustDomain = "", ...segments] = pattern.replace(/^spiffe:\/\//, "").split("/");
  const isOpen = segments.at(-1) === "*";
  const said = isOpen ? segments.slice(0, -1) : segments;
  const [ns = "ns", namespace = ANY_NAME, sa = "sa", service = ANY_NAME, ...more] = said;
  if (ns !== "ns" || sa !== "sa" || more.length > 0 || (!isOpen && said.length < 4)) return undefined;
  return { caller: { trustDomain, namespace, service } };
}

/** Every workload of a trust domain, as rules name them. */
export function anyOf(trustDomain: string): string {
  return `spiffe://${trustDomain}/*`;
}
