/** `heddle status --at`: the services of a moment and the policy that was in force for each. */

import { documentsOf } from "../../events/documents.ts";
import { MESH_DEFAULTS, type MeshState, type Origin } from "../../events/state.ts";
import { serviceRef } from "../../policy/names.ts";
import { callersOf, policiesOf } from "../../projections/call-graph.ts";
import { formatRelative } from "../input/moment.ts";
import { table } from "./output.ts";
import { safeText } from "./safe-text.ts";

interface PastService {
  readonly service: string;
  readonly ports: readonly string[];
  readonly documents: readonly string[];
  readonly accessRules: number;
  /** Services that some rule let in. */
  readonly callers: number;
  /** The last change of a document about the service. */
  readonly changed: Origin;
}

export interface PastStatus {
  readonly trustDomain: string;
  readonly revision: number;
  readonly mtls: string;
  readonly access: string;
  readonly services: readonly PastService[];
}

/** What instances were running then, the ledger does not know; what they had to enforce, it does. */
export function pastStatus(state: MeshState, only: string | undefined): PastStatus {
  const { trustDomain, mtls, access } = state.mesh?.value ?? MESH_DEFAULTS;
  const names = [...state.namespaces].filter(([namespace]) => only === undefined || namespace === only);
  const services = names.flatMap(([namespace, { services: declared }]) =>
    Array.from(declared, ([name, { value, origin }]): PastService => {
      const service = { namespace, name };
      const documents = documentsOf(state, { namespace, service: name });
      const last = documents.reduce(
        (latest, next) => (next.origin.revision > latest.revision ? next.origin : latest),
        origin,
      );
      return {
        service: serviceRef(namespace, name),
        ports: value.ports.map(({ port, protocol }) => `${port} ${protocol}`),
        documents: documents.map(({ key }) => key),
        accessRules: policiesOf(state, service).reduce((sum, { policy }) => sum + policy.rules.length, 0),
        callers: callersOf(state, service).size,
        changed: last,
      };
    }),
  );
  services.sort((a, b) => (a.service < b.service ? -1 : 1));
  return {
    trustDomain,
    revision: state.revision,
    mtls: mtls ?? MESH_DEFAULTS.mtls,
    access: access ?? MESH_DEFAULTS.access,
    services,
  };
}

/** The same for people. */
export function pastStatusText({ trustDomain, revision, mtls, access, services }: PastStatus, nowMs: number): string {
  const rows = services.map(({ service, ports, accessRules, callers, changed }) => [
    safeText(service),
    ports.join(", "),
    String(accessRules),
    String(callers),
    String(changed.revision),
    formatRelative(Date.parse(changed.time), nowMs),
    safeText(changed.actor),
  ]);
  return [
    `mesh ${safeText(trustDomain)} at revision ${revision}: mTLS ${mtls}, access ${access} by default`,
    "",
    services.length === 0
      ? "no services were declared"
      : table(["service", "ports", "access rules", "callers", "revision", "changed", "by"], rows).trimEnd(),
  ].join("\n");
}
