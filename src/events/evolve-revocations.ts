/** Revocations from events: what is remembered of certificates that must not be believed, and when it is forgotten. */

import type { DomainEvent } from "./domain-events.ts";
import type { IdentityRevocation, NamespaceState, Origin } from "./state.ts";

type Revocations = NamespaceState["revocations"];
type RevocationEvent = Extract<DomainEvent, { type: "IdentityRevoked" | "IdentityReinstated" }>;

/** No certificate lives longer, so that what was revoked so long ago has ended by itself. */
const REMEMBERED_MS = 91 * 86_400_000;

const NOTHING: IdentityRevocation = {
  whole: undefined,
  issuedBefore: undefined,
  serials: new Map(),
  instances: new Map(),
};

/** The revocations of a namespace after one event. Time is that of the change, so that every replica forgets alike. */
export function evolveRevocations(revocations: Revocations, event: RevocationEvent, origin: Origin): Revocations {
  const before = revocations.get(event.service) ?? NOTHING;
  const after =
    event.type === "IdentityRevoked" ? revoked(before, event, origin) : reinstated(before, event.instance, origin);
  const next = new Map(revocations);
  if (isNothing(after)) next.delete(event.service);
  else next.set(event.service, after);
  return next;
}

function revoked(
  before: IdentityRevocation,
  { serial, instance }: Extract<RevocationEvent, { type: "IdentityRevoked" }>,
  origin: Origin,
): IdentityRevocation {
  // Whatever was issued until now is covered by the moment: single certificates need not be named any more.
  if (serial === undefined && instance === undefined) {
    return { ...before, whole: before.whole ?? origin, issuedBefore: origin.time, serials: new Map() };
  }
  const sinceMs = Date.parse(origin.time) - REMEMBERED_MS;
  const serials = new Map([...before.serials].filter(([, { time }]) => Date.parse(time) >= sinceMs));
  const instances = new Map(before.instances);
  if (serial !== undefined) serials.set(serial, origin);
  if (instance !== undefined) instances.set(instance, origin);
  return { ...before, serials, instances };
}

function reinstated(before: IdentityRevocation, instance: string | undefined, origin: Origin): IdentityRevocation {
  if (instance === undefined) {
    const sinceMs = Date.parse(origin.time) - REMEMBERED_MS;
    const { issuedBefore } = before;
    const forgotten = issuedBefore === undefined || Date.parse(issuedBefore) < sinceMs;
    return { ...before, whole: undefined, issuedBefore: forgotten ? undefined : issuedBefore };
  }
  const instances = new Map(before.instances);
  instances.delete(instance);
  return { ...before, instances };
}

function isNothing({ whole, issuedBefore, serials, instances }: IdentityRevocation): boolean {
  return whole === undefined && issuedBefore === undefined && serials.size === 0 && instances.size === 0;
}
