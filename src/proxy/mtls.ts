/** What the mutual TLS modes of a service's ports mean for a connection, on either side of it. */

import type { ServicePort } from "../projections/snapshot.ts";
import type { Accepted } from "./io/tls-listener.ts";
import type { Policy } from "./policy.ts";

const STRICT: Accepted = { tls: true, plaintext: false, forTcp: false };

/**
 * All ports of a service share one listener: which of them is meant is known only from the request. So plaintext is
 * accepted where any port takes it, and a request to a port that does not is refused.
 */
export function acceptedBy(policy: Policy | undefined): Accepted {
  const ports = policy?.snapshot.inbound.ports ?? [];
  if (!ports.some(({ mtls }) => mtls !== undefined)) return STRICT;
  return { tls: !isPlaintext(ports), plaintext: true, forTcp: ports.every(({ protocol }) => protocol === "tcp") };
}

/** Whether callers do without TLS: between sidecars it is used wherever the called one takes it. */
export function isPlaintext(ports: readonly ServicePort[]): boolean {
  return ports.length > 0 && ports.every(({ mtls }) => mtls === "disabled");
}
