/** Puts a ledger into the empty one of another mesh, byte for byte and under the same revisions. */

import { ulid } from "ulid";
import { openAuthority } from "../../ca/open-authority.ts";
import { type Adopter, adoptionOf } from "../../control/adoption.ts";
import { composeChange } from "../../control/ledger.ts";
import { FIRST_PREVIOUS } from "../../events/change.ts";
import { foldChange } from "../../events/evolve.ts";
import { appendStored, openEventLog } from "../../events/jetstream-log.ts";
import { INITIAL_STATE, type MeshState } from "../../events/state.ts";
import type { NatsBus } from "../../nats/connection.ts";
import type { Directory } from "../../nats/directory.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import type { ExportedChange } from "../../replay/export.ts";
import { Failure } from "../failure.ts";

export interface LedgerCopy {
  /** Last revision of what was copied. */
  readonly revision: number;
  /** Revision at which this mesh's own operator and root were entered; undefined where the ledger knew them. */
  readonly adopted: number | undefined;
}

/**
 * @param bus a control user's connection to a mesh whose ledger is empty; otherwise this rejects with `Failure`.
 * @param changes from the first on, without a gap
 */
export async function copyLedger(
  bus: NatsBus,
  directory: Directory,
  changes: readonly ExportedChange[],
): Promise<LedgerCopy> {
  const log = await openEventLog(bus);
  if ((await log.lastRevision()) > 0) throw new Failure(`the ledger of ${directory.path} is not empty`);
  const heads = new Map<string, { readonly revision: number; readonly hash: string }>();
  let state = INITIAL_STATE;
  for (const { recorded, bytes } of changes) {
    const { revision, namespace, hash } = recorded;
    const stored = await appendStored(bus, recorded, bytes, heads.get(namespace)?.revision ?? 0);
    if (stored !== revision)
      throw new Failure(`revision ${revision} could not be stored as such: is somebody else writing?`);
    heads.set(namespace, { revision, hash });
    state = foldChange(state, recorded);
  }
  const draft = adoptionOf(state, await adopter(directory, state), ulid());
  if (draft === undefined) return { revision: state.revision, adopted: undefined };
  const head = heads.get(MESH_NAMESPACE);
  const place = { namespace: MESH_NAMESPACE, id: ulid(), nowMs: Date.now(), previous: head?.hash ?? FIRST_PREVIOUS };
  const appended = await log.append(composeChange(draft, place), head?.revision ?? 0);
  if (!appended.ok) throw new Failure("somebody else is writing to the ledger");
  return { revision: state.revision, adopted: appended.value.revision };
}

/** Who acts for this mesh, and under which root, if that is not the ledger's own. */
async function adopter(directory: Directory, state: MeshState): Promise<Adopter> {
  const { name, publicKey } = await directory.operatorCredentials();
  const { trustDomain } = directory.context;
  const active = [...state.roots.values()].find(({ status }) => status === "active")?.fingerprint;
  const authority = { trustDomain, nowMs: Date.now() };
  const own = await openAuthority(directory.path, authority);
  const holdsActive =
    own.rootFingerprint === active ||
    (await openAuthority(directory.path, { ...authority, root: active }).then(
      ({ rootFingerprint }) => rootFingerprint === active,
      () => false,
    ));
  const root = holdsActive ? undefined : { fingerprint: own.rootFingerprint, pem: own.rootPem };
  return { operator: { name, publicKey }, root };
}
