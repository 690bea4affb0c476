/** What has to be recorded so that a ledger that was copied can go on in a mesh that has other keys. */

import { sha256Hex } from "../events/chain.ts";
import { SYSTEM_ACTOR } from "../events/commands.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { ADOPTION_COMMAND } from "../replay/verify.ts";
import type { FirstOperator } from "./bootstrap.ts";
import type { ChangeDraft } from "./ledger.ts";

export interface Adopter {
  readonly operator: FirstOperator;
  /** The root that the authority signs under; undefined where it holds the key of the ledger's own. */
  readonly root: { readonly fingerprint: string; readonly pem: string } | undefined;
}

/** Undefined where the ledger knows the operator and the root already, as one that comes back to its own mesh does. */
export function adoptionOf(state: MeshState, { operator, root }: Adopter, id: string): ChangeDraft | undefined {
  const { name, publicKey } = operator;
  const events: DomainEvent[] = [];
  if (!state.operators.has(publicKey)) {
    events.push({ type: "OperatorAdded", name, publicKey, role: "admin", namespaces: [] });
  }
  if (root !== undefined) {
    if (!state.roots.has(root.fingerprint)) events.push({ type: "RootAdded", ...root });
    events.push({ type: "RootActivated", fingerprint: root.fingerprint });
  }
  if (events.length === 0) return undefined;
  const command = { kind: ADOPTION_COMMAND, id, digest: sha256Hex(canonicalJson(events)) };
  return { actor: { name: SYSTEM_ACTOR }, reason: "the ledger was copied into this mesh", command, events };
}
