/** Injected faults from events: which are in force. */

import type { DomainEvent } from "./domain-events.ts";
import type { Maps } from "./maps.ts";
import type { NamespaceState, Origin } from "./state.ts";

type Faults = NamespaceState["faults"];
type FaultEvent = Extract<DomainEvent, { type: `Fault${string}` }>;

/** The faults after one event. */
export function evolveFaults(faults: Faults, event: FaultEvent, origin: Origin, maps: Maps): Faults {
  if (event.type === "FaultCleared") return maps.withoutEntry(faults, event.id);
  const { service, id, match, fault, expiresAt } = event;
  return maps.withEntry(faults, id, { service, match, fault, expiresAt, origin });
}

/** Faults go with their service: one of that name that is declared later begins without. */
export function withoutFaultsOf(faults: Faults, service: string): Faults {
  const kept = [...faults].filter(([, fault]) => fault.service !== service);
  return kept.length === faults.size ? faults : new Map(kept);
}
