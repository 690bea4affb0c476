/** The mesh as it stands, or as it stood. */

import type { EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import { directReader } from "../nats/buckets.ts";
import { CHECKPOINT_BUCKET } from "../nats/subjects.ts";
import type { KnownMesh } from "../policy/check.ts";
import { checkpointKey, decodeCheckpoint } from "../projections/checkpoint.ts";
import { meshProjection } from "../projections/projection.ts";
import { meshStateCodec } from "../projections/state-codec.ts";
import { stateAt } from "../replay/state-at.ts";
import type { OperatorContext } from "./context.ts";
import { Failure } from "./failure.ts";

type LedgerReader = Pick<EventLog, "lastRevision">;
type Reader = Pick<OperatorContext, "bus" | "ledger">;

/** So many changes are folded sooner (about a tenth of a second) than it would be worth to ask for a checkpoint. */
const FOLDED_WITHOUT_CHECKPOINT = 1_000;

/** The state after the last change. */
export async function currentState(reader: Reader): Promise<MeshState> {
  return foldedState(reader, await reader.ledger.lastRevision());
}

/** The state after the change of a revision. Rejects with `Failure` for one that has not come yet. */
export async function pastState(reader: Reader, revision: number): Promise<MeshState> {
  await requireRevision(reader.ledger, revision);
  return foldedState(reader, revision);
}

/** Rejects with `Failure` where the ledger does not reach so far; resolves with its last revision. */
export async function requireRevision(ledger: LedgerReader, revision: number): Promise<number> {
  const last = await ledger.lastRevision();
  if (revision > last) throw new Failure(`there is no revision ${revision}: the last one is ${last}`);
  return last;
}

/** From the control plane's checkpoint where that helps, otherwise from the beginning: 10,000 changes in a second. */
async function foldedState(reader: Reader, revision: number): Promise<MeshState> {
  const checkpoint = revision > FOLDED_WITHOUT_CHECKPOINT ? await readCheckpoint(reader) : undefined;
  return stateAt(reader.ledger, revision, checkpoint);
}

/** The last checkpoint, if it can be had and is of this very ledger. */
async function readCheckpoint({ bus, ledger }: Reader): Promise<MeshState | undefined> {
  // Without the right to read it, or before there is one, the long way is the way.
  const entry = await directReader(bus, CHECKPOINT_BUCKET)
    .get(checkpointKey(meshProjection))
    .catch(() => undefined);
  const checkpoint = entry && decodeCheckpoint(meshProjection, meshStateCodec, entry.value);
  if (checkpoint === undefined || !checkpoint.ok) return undefined;
  const { revision, hash, state } = checkpoint.value;
  for await (const recorded of ledger.read({ from: revision, to: revision })) {
    if (recorded.hash === hash) return state;
  }
  return undefined;
}

/** What documents are checked against before they are sent. */
export function knownMesh(state: MeshState): KnownMesh {
  return {
    service: (namespace, name) => state.namespaces.get(namespace)?.services.get(name)?.value,
    routes: (namespace, service) =>
      Array.from(state.namespaces.get(namespace)?.routes ?? [])
        .filter(([, route]) => route.service === service)
        .map(([name, { rules }]) => ({ name, rules: rules.map(({ value }) => value) })),
  };
}
