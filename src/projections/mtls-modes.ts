/** Which mode of mutual TLS holds at a port: what is said closest to it. */

import { MESH_DEFAULTS, type MeshState } from "../events/state.ts";
import type { MtlsMode, ServiceSpec } from "../policy/schema.ts";
import type { ServicePort } from "./snapshot.ts";

/** The ports of a service as snapshots have them: `mtls` only where it is less than strict. */
export function compilePorts(state: MeshState, namespace: string, service: ServiceSpec): ServicePort[] {
  const inherited = service.mtls ?? namespaceMode(state, namespace);
  return service.ports.map(({ port, protocol, mtls = inherited }) => ({
    port,
    protocol,
    ...(mtls === "strict" ? {} : { mtls }),
  }));
}

/** Whether nobody proves anything to a service: then every caller is one without an identity. */
export function takesPlaintextOnly(state: MeshState, namespace: string, service: ServiceSpec): boolean {
  return compilePorts(state, namespace, service).every(({ mtls }) => mtls === "disabled");
}

function namespaceMode(state: MeshState, namespace: string): MtlsMode {
  const mesh = state.mesh?.value;
  const own = Object.hasOwn(mesh?.namespaces ?? {}, namespace) ? mesh?.namespaces?.[namespace] : undefined;
  return own?.mtls ?? mesh?.mtls ?? MESH_DEFAULTS.mtls;
}
