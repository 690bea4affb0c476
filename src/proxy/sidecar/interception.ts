/** Redirected connections: where they were going, and where those over IPv6 come in. */

import type { Socket } from "bun";
import type { BoundService, Redirect } from "../io/downstream.ts";
import type { Listener, ListenerOptions } from "../io/listener.ts";
import type { Policy } from "../policy.ts";
import { portOf, protocolOf } from "../service-port.ts";
import type { Interception } from "./options.ts";
import type { UpstreamDirectory } from "./upstream-directory.ts";

/** Where a connection that was redirected to us was going, and who of the mesh is there. */
export function redirectResolver(
  { originalDestination }: Interception,
  upstreams: UpstreamDirectory,
  policy: () => Policy | undefined,
): (socket: Socket<unknown>) => Redirect | undefined {
  return (socket) => {
    const destination = originalDestination(socket);
    if (destination === undefined) return undefined;
    const ref = upstreams.serviceAt(destination);
    const { routes, snapshot } = policy() ?? {};
    const upstream = ref && routes?.upstreams.find((candidate) => candidate.ref === ref);
    if (upstream === undefined || snapshot === undefined) {
      return { destination, service: undefined, protocol: undefined };
    }
    const authority = `${upstream.name}.${upstream.namespace}.${snapshot.trustDomain}`;
    const service: BoundService = { service: upstream.ref, authority };
    return { destination, service, protocol: protocolOf(portOf(upstream.ports, false, destination.port)) };
  };
}

/**
 * A listener, and with `ipv6Host` its twin for IPv6 on the same port: over either family connections are redirected to one
 * port, but to different addresses. A listener that is one for IPv6 already gets no twin.
 */
export function listenWithTwin<O extends ListenerOptions>(
  listen: (options: O) => Listener,
  options: O,
  ipv6Host: string | undefined,
): readonly [Listener, ...Listener[]] {
  const listener = listen(options);
  const { host, port } = listener.address;
  if (ipv6Host === undefined || host.includes(":")) return [listener];
  try {
    return [listener, listen({ ...options, address: { host: ipv6Host, port }, ipv6Only: true })];
  } catch (error) {
    listener.close();
    throw error;
  }
}
