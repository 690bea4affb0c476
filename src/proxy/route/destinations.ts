/**
 * The services that may be called, each with the subsets that policy names. Taken over from the table before wherever
 * the snapshot did not change, so that whatever is keyed by an upstream or a subset, such as groups of endpoints, stays
 * too.
 */

import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { ServiceSnapshot, SnapshotUpstream } from "../../projections/snapshot.ts";
import type { Subset, Upstream } from "./compile.ts";
import { type CallingInstance, compileMatch, ownAlternatives } from "./match.ts";

export interface Destination {
  readonly source: SnapshotUpstream;
  readonly upstream: Upstream;
  readonly subsets: ReadonlyMap<string, Subset>;
}

/** By `namespace/name`. */
export type Destinations = ReadonlyMap<ServiceRef, Destination>;

/** @param previous those of the same instance in the snapshot before. */
export function compileDestinations(
  { upstreams }: ServiceSnapshot,
  self: CallingInstance,
  previous?: Destinations,
): Destinations {
  const destinations = new Map<ServiceRef, Destination>();
  for (const source of Object.values(upstreams)) {
    const ref = serviceRef(source.namespace, source.name);
    const before = previous?.get(ref);
    destinations.set(ref, before?.source === source ? before : compileDestination(source, self, before));
  }
  return destinations;
}

function compileDestination(source: SnapshotUpstream, self: CallingInstance, before?: Destination): Destination {
  const subsets = new Map<string, Subset>();
  for (const [name, labels] of Object.entries(source.subsets)) {
    const known = before?.subsets.get(name);
    const isSame = known !== undefined && JSON.stringify(known.labels) === JSON.stringify(labels);
    subsets.set(name, isSame ? known : { name, labels });
  }
  return { source, upstream: compileUpstream(source, self), subsets };
}

function compileUpstream(source: SnapshotUpstream, self: CallingInstance): Upstream {
  const { namespace, name, spiffeId, ports, loadBalancer, balancing, connectionPool, outlierDetection, external } =
    source;
  const ref = serviceRef(namespace, name);
  const faults = (source.faults ?? []).flatMap((one) => {
    const alternatives = ownAlternatives(one.match, self);
    return alternatives === undefined
      ? []
      : [{ matches: compileMatch(alternatives, ports), fault: one.fault, source: one }];
  });
  return {
    ref,
    namespace,
    name,
    spiffeId,
    ports,
    loadBalancer,
    balancing,
    connectionPool,
    outlierDetection,
    external,
    faults,
  };
}

/**
 * What a service's outcomes are made of, by `namespace/name`: itself, and whom its rules send requests to, if it may.
 */
export type Reach = ReadonlyMap<ServiceRef, Destination | undefined>;

/** Every destination that a service's outcomes name; undefined where it may not be called. */
export function reachOf({ source: { namespace, name, routes } }: Destination, all: Destinations): Reach {
  const ref = serviceRef(namespace, name);
  const reach = new Map<ServiceRef, Destination | undefined>([[ref, all.get(ref)]]);
  for (const { backends } of routes) {
    for (const { service } of backends) {
      if (service !== undefined) reach.set(service as ServiceRef, all.get(service as ServiceRef));
    }
  }
  return reach;
}

/** Whether nothing is said anew of any of them. */
export function isUnchanged(reach: Reach, all: Destinations): boolean {
  for (const [ref, destination] of reach) if (all.get(ref) !== destination) return false;
  return true;
}
