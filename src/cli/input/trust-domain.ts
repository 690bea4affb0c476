/** The trust domain of a mesh, as its history has it. */

import { MESH_DEFAULTS, type MeshState } from "../../events/state.ts";

export function trustDomainOf({ mesh }: MeshState): string {
  return mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
}
