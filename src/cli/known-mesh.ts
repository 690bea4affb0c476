/** The mesh as it stands, for the checks that documents go through before they are sent. */

import type { EventLog } from "../events/log.ts";
import type { MeshState } from "../events/state.ts";
import type { KnownMesh } from "../policy/check.ts";
import { stateAt } from "../replay/state-at.ts";
import { Failure } from "./failure.ts";

type LedgerReader = Pick<EventLog, "read" | "lastRevision">;

/** The state after the last change. Folds the ledger from its beginning: about a second per 20,000 changes. */
export async function currentState(ledger: LedgerReader): Promise<MeshState> {
  return stateAt(ledger, await ledger.lastRevision());
}

/** The state after the change of a revision. Rejects with `Failure` for one that has not come yet. */
export async function pastState(ledger: LedgerReader, revision: number): Promise<MeshState> {
  await requireRevision(ledger, revision);
  return stateAt(ledger, revision);
}

/** Rejects with `Failure` where the ledger does not reach so far; resolves with its last revision. */
export async function requireRevision(ledger: LedgerReader, revision: number): Promise<number> {
  const last = await ledger.lastRevision();
  if (revision > last) throw new Failure(`there is no revision ${revision}: the last one is ${last}`);
  return last;
}

export function knownMesh(state: MeshState): KnownMesh {
  return {
    service: (namespace, name) => state.namespaces.get(namespace)?.services.get(name)?.value,
    routes: (namespace, service) =>
      Array.from(state.namespaces.get(namespace)?.routes ?? [])
        .filter(([, route]) => route.service === service)
        .map(([name, { rules }]) => ({ name, rules: rules.map(({ value }) => value) })),
  };
}
