/** `/clusters` of several workers as one: what is open in any of them is open. */

import type { ClusterView } from "../data-plane.ts";

type EndpointView = ClusterView["endpoints"][number];

/** Adds up counts; an endpoint that any worker leaves out shows as left out. */
export function sumClusters(views: readonly (readonly ClusterView[])[]): ClusterView[] {
  const services = new Map<string, ClusterView>();
  for (const view of views.flat()) {
    const known = services.get(view.service);
    // Workers take up a newer set one after the other.
    const newest = known === undefined || view.version >= known.version ? view : known;
    services.set(view.service, { ...newest, endpoints: sumEndpoints(known?.endpoints ?? [], view.endpoints) });
  }
  return [...services.values()];
}

function sumEndpoints(one: readonly EndpointView[], other: readonly EndpointView[]): EndpointView[] {
  const sums = new Map(one.map((endpoint) => [keyOf(endpoint), endpoint]));
  for (const endpoint of other) {
    const known = sums.get(keyOf(endpoint));
    sums.set(keyOf(endpoint), known === undefined ? endpoint : sumOf(known, endpoint));
  }
  return [...sums.values()];
}

function sumOf(one: EndpointView, other: EndpointView): EndpointView {
  return {
    ...other,
    activeRequests: one.activeRequests + other.activeRequests,
    pendingRequests: one.pendingRequests + other.pendingRequests,
    connections: one.connections + other.connections,
    ejected: one.ejected || other.ejected,
    avoided: one.avoided ?? other.avoided,
  };
}

function keyOf({ instance, address }: EndpointView): string {
  return `${instance} ${address}`;
}
