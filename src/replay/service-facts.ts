/** What a Service says of the calls to it: how callers spread and guard them. */

import { renderInline } from "../policy/render.ts";
import { DEFAULT_LOAD_BALANCER, type ServiceSpec } from "../policy/schema.ts";
import type { ServiceName } from "../projections/call-graph.ts";
import { refOf } from "./called-side.ts";
import { type Fact, type Place, placeIn } from "./fact.ts";

/** Fields whose text is their own. */
const FIELDS = [
  ["circuit", "connectionPool"],
  ["outliers", "outlierDetection"],
  ["health", "healthCheck"],
] as const satisfies [about: string, field: keyof ServiceSpec][];

/** What the Service document of a called service says that bears on calls. */
export function serviceFacts(service: ServiceName, spec: ServiceSpec): Fact[] {
  const { ports, loadBalancer, certificateTtl } = spec;
  const at = (field: keyof ServiceSpec): Place => placeIn("Service", service.namespace, service.name, [field]);
  const protocols = ports.map(({ port, protocol }) => `${port} ${protocol}`).join(", ");
  return [
    { about: "service", text: `${refOf(service)} on ${protocols}`, place: at("ports") },
    ...(spec.external === undefined
      ? []
      : [{ about: "external", text: fieldsText(spec.external), place: at("external") }]),
    { about: "balancing", text: balancingText(loadBalancer), place: loadBalancer && at("loadBalancer") },
    ...FIELDS.flatMap(([about, field]): Fact[] => {
      const value = spec[field];
      return value === undefined ? [] : [{ about, text: fieldsText(value), place: at(field) }];
    }),
    ...(certificateTtl === undefined
      ? []
      : [{ about: "certificates", text: `live ${certificateTtl}`, place: at("certificateTtl") }]),
  ];
}

function balancingText({ algorithm, ...others }: NonNullable<ServiceSpec["loadBalancer"]> = {}): string {
  const rest = fieldsText(others);
  return `${algorithm ?? `${DEFAULT_LOAD_BALANCER}, the default`}${rest === "" ? "" : `, ${rest}`}`;
}

/** `maxRequests 3, idleTimeout 1m`, in the order in which documents have them. */
function fieldsText(fields: object): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${renderInline(value)}`)
    .join(", ");
}
