/**
 * The first change of a ledger: who may command, whom the mesh trusts, and that it is closed until somebody opens it.
 */

import { sha256Hex } from "../events/chain.ts";
import { SYSTEM_ACTOR } from "../events/commands.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import { MESH_DEFAULTS, type MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { type Ledger, namespaceRevision } from "./ledger.ts";

/** The ledger is not of the mesh that this replica was started for. The message is for whoever starts it. */
export class BootstrapError extends Error {
  override readonly name = "BootstrapError";
}

/** An operator who may do anything: without one, nobody could ever change the mesh. */
export interface FirstOperator {
  readonly name: string;
  /** nkey (`U…`). */
  readonly publicKey: string;
}

export interface BootstrapOptions {
  readonly trustDomain: string;
  readonly root: { readonly fingerprint: string; readonly pem: string };
  /** Needed for an empty ledger only. */
  readonly operator?: FirstOperator;
  readonly newId: () => string;
}

/**
 * Writes the first change where there is none, and resolves with a state that has one. Any number of replicas may do
 * this at once: the log takes one. Rejects with `BootstrapError` when the mesh is another one than this replica's.
 */
export async function bootstrap(ledger: Ledger, options: BootstrapOptions): Promise<MeshState> {
  const found = await ledger.latest();
  if (namespaceRevision(found, MESH_NAMESPACE) === 0) {
    const events = firstEvents(options);
    const command = { kind: "bootstrap", id: options.newId(), digest: sha256Hex(canonicalJson(events)) };
    const reason = "the mesh was started for the first time";
    // Who loses the race finds the winner's change below.
    await ledger.append(found, MESH_NAMESPACE, { actor: { name: SYSTEM_ACTOR }, reason, command, events });
  }
  const state = await ledger.latest();
  checkMesh(state, options);
  return state;
}

function firstEvents({ operator, root, trustDomain }: BootstrapOptions): DomainEvent[] {
  if (operator === undefined) {
    throw new BootstrapError("the ledger is empty, and nobody is named who may write to it: name the first operator");
  }
  const { name, publicKey } = operator;
  const { mtls, access } = MESH_DEFAULTS;
  return [
    { type: "OperatorAdded", name, publicKey, role: "admin", namespaces: [] },
    { type: "RootAdded", fingerprint: root.fingerprint, pem: root.pem },
    { type: "RootActivated", fingerprint: root.fingerprint },
    { type: "MeshDeclared", spec: { trustDomain, mtls, access } },
  ];
}

/** A replica of another mesh would sign certificates that nobody accepts. */
function checkMesh(state: MeshState, { trustDomain, root }: BootstrapOptions): void {
  checkTrustDomain(state, trustDomain);
  const status = state.roots.get(root.fingerprint)?.status;
  if (status === undefined || status === "retired") {
    const known = status === undefined ? "is not one of the mesh's" : "was retired";
    throw new BootstrapError(
      `the certificate authority's root ${root.fingerprint.slice(0, 16)} ${known}: start every replica with the same authority`,
    );
  }
}

/** Throws `BootstrapError` where the ledger is another mesh's. */
export function checkTrustDomain({ mesh }: MeshState, trustDomain: string): void {
  const declared = mesh?.value.trustDomain;
  if (declared !== undefined && declared !== trustDomain) {
    throw new BootstrapError(`the ledger is of the mesh ${declared}, this replica was started for ${trustDomain}`);
  }
}
