/**
 * Puts a ledger into the empty one of another mesh, byte for byte and under the same revisions. One that was interrupted
 * goes on where it was: until it has ended, the directory says that its ledger is not whole.
 */

import { ulid } from "ulid";
import { openAuthority } from "../../ca/open-authority.ts";
import { type Adopter, adoptionOf } from "../../control/adoption.ts";
import { composeChange } from "../../control/ledger.ts";
import { FIRST_PREVIOUS } from "../../events/change.ts";
import { foldChange } from "../../events/evolve.ts";
import { appendStored, openEventLog, readStored } from "../../events/jetstream-log.ts";
import { INITIAL_STATE, type MeshState } from "../../events/state.ts";
import type { Directory } from "../../nats/directory.ts";
import type { NatsBus } from "../../nats/nats-bus.ts";
import { MESH_NAMESPACE } from "../../policy/names.ts";
import type { ExportedChange } from "../../replay/export.ts";
import { Failure } from "../failure.ts";
import { ProgressLine } from "../output/progress.ts";

export interface LedgerCopy {
  /** Last revision of what was copied. */
  readonly revision: number;
  /** Changes that were there already, from an import that was interrupted. */
  readonly alreadyThere: number;
  /** Revision at which this mesh's own operator and root were entered; undefined where the ledger knew them. */
  readonly adopted: number | undefined;
}

/**
 * @param bus a control user's connection to a mesh whose ledger is empty, or holds what an earlier copy of the same
 *   changes came to; otherwise this rejects with `Failure`.
 * @param changes from the first on, without a gap
 * @param isStopping asked before each change: whether to end there, which rejects with `Failure`
 */
export async function copyLedger(
  bus: NatsBus,
  directory: Directory,
  changes: readonly ExportedChange[],
  isStopping: () => boolean = () => false,
): Promise<LedgerCopy> {
  const log = await openEventLog(bus);
  const alreadyThere = await changesThere(bus, directory, changes);
  await directory.remember({ importing: changes.length });
  const heads = new Map<string, { readonly revision: number; readonly hash: string }>();
  const progress = new ProgressLine();
  let state = INITIAL_STATE;
  for (const [index, { recorded, bytes }] of changes.entries()) {
    const { revision, namespace, hash } = recorded;
    if (index >= alreadyThere) {
      progress.at(() => `revision ${revision} of ${changes.length}`);
      if (isStopping()) {
        progress.clear();
        throw new Failure(
          `interrupted: ${directory.path} has ${index} of ${changes.length} changes. Run the same command again, and it goes on there`,
        );
      }
      const stored = await appendStored(bus, recorded, bytes, heads.get(namespace)?.revision ?? 0);
      if (stored !== revision)
        throw new Failure(`revision ${revision} could not be stored as such: is somebody else writing?`);
    }
    heads.set(namespace, { revision, hash });
    state = foldChange(state, recorded);
  }
  progress.clear();
  const isAdopted = (await log.lastRevision()) > changes.length;
  const draft = isAdopted ? undefined : adoptionOf(state, await adopter(directory, state), ulid());
  let adopted = isAdopted ? changes.length + 1 : undefined;
  if (draft !== undefined) {
    const head = heads.get(MESH_NAMESPACE);
    const place = { namespace: MESH_NAMESPACE, id: ulid(), nowMs: Date.now(), previous: head?.hash ?? FIRST_PREVIOUS };
    const appended = await log.append(composeChange(draft, place), head?.revision ?? 0);
    if (!appended.ok) throw new Failure("somebody else is writing to the ledger");
    adopted = appended.value.revision;
  }
  await directory.remember({ importing: undefined });
  return { revision: state.revision, alreadyThere, adopted };
}

/**
 * How many of the changes the ledger begins with. Rejects with `Failure` where it holds anything else, but for the
 * change that enters this mesh, which is the last thing that an import does.
 */
async function changesThere(bus: NatsBus, directory: Directory, changes: readonly ExportedChange[]): Promise<number> {
  let last = 0;
  for await (const { revision, bytes } of readStored(bus)) {
    last = revision;
    const isOwn = directory.context.importing === changes.length && revision === changes.length + 1;
    const wanted = changes[revision - 1]?.bytes;
    if (isOwn || (wanted !== undefined && bytes !== undefined && Buffer.compare(wanted, bytes) === 0)) continue;
    const what = wanted === undefined ? "is beyond what the export holds" : "is not the export's";
    throw new Failure(`the ledger of ${directory.path} is not empty: revision ${revision} ${what}`);
  }
  return Math.min(last, changes.length);
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
