/** The mesh as it stands, or as it stood. */

import type { EventLog } from "../../events/log.ts";
import type { MeshState } from "../../events/state.ts";
import type { KnownMesh } from "../../policy/check.ts";
import { serviceRef } from "../../policy/names.ts";
import { nearest } from "../../policy/nearest.ts";
import type { ServiceName } from "../../projections/call-graph.ts";
import { nearestCheckpoint } from "../../projections/history-checkpoints.ts";
import { meshProjection } from "../../projections/projection.ts";
import { meshStateCodec } from "../../projections/state-codec.ts";
import { stateAt } from "../../replay/state-at.ts";
import { Failure } from "../failure.ts";
import { note } from "../output/output.ts";
import { checkpointReader } from "./checkpoints.ts";
import type { OperatorContext } from "./context.ts";

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

/** Throws `Failure` where the mesh had no such service then. */
export function requireService(state: MeshState, service: ServiceName): void {
  if (state.namespaces.get(service.namespace)?.services.has(service.name) === true) return;
  const meant = serviceMeant(state, service);
  const advice = meant === undefined ? "" : `; did you mean ${meant}?`;
  const ref = serviceRef(service.namespace, service.name);
  throw new Failure(`there is no service ${ref} at revision ${state.revision}${advice}`);
}

/** The service that a name which is none was probably to be: by its namespace's names, else by the names of namespaces. */
export function serviceMeant({ namespaces }: MeshState, { namespace, name }: ServiceName): string | undefined {
  const services = namespaces.get(namespace)?.services;
  if (services !== undefined) {
    const meant = nearest(name, services.keys());
    return meant === undefined ? undefined : serviceRef(namespace, meant);
  }
  const having = Array.from(namespaces).filter(([, { services: own }]) => own.has(name));
  const meant = nearest(
    namespace,
    having.map(([own]) => own),
  );
  return meant === undefined ? undefined : serviceRef(meant, name);
}

/** From the nearest checkpoint along history where that helps, otherwise from the beginning. */
async function foldedState({ bus, ledger }: Reader, revision: number): Promise<MeshState> {
  if (revision <= FOLDED_WITHOUT_CHECKPOINT) return stateAt(ledger, revision);
  const bucket = checkpointReader({ bus });
  const source = { log: ledger, bucket, projection: meshProjection, codec: meshStateCodec, warn: note };
  // Without the right to read it the long way is the way.
  const checkpoint = await nearestCheckpoint(source, revision).catch(() => undefined);
  return stateAt(ledger, revision, checkpoint?.state);
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
