/** Modes of mutual TLS as snapshots have them. */

import { mtlsModes } from "../events/mtls-mode.ts";
import type { MeshState } from "../events/state.ts";
import type { ServiceSpec } from "../policy/schema.ts";
import type { ServicePort } from "./snapshot.ts";

/** The ports of a service as snapshots have them: `mtls` only where it is less than strict. */
export function compilePorts(state: MeshState, namespace: string, service: ServiceSpec): ServicePort[] {
  const modes = mtlsModes(state, namespace, service);
  return service.ports.map(({ port, protocol }) => {
    const mtls = modes.get(port) ?? "strict";
    return { port, protocol, ...(mtls === "strict" ? {} : { mtls }) };
  });
}

/** Whether nobody proves anything to a service: then every caller is one without an identity. */
export function takesPlaintextOnly(state: MeshState, namespace: string, service: ServiceSpec): boolean {
  return [...mtlsModes(state, namespace, service).values()].every((mode) => mode === "disabled");
}
