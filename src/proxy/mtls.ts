/** What the modes of mutual TLS of a service's ports come down to, on either side of a connection. */

import type { ServicePort } from "../projections/snapshot.ts";
import type { Accepted } from "./io/tls-listener.ts";
import type { Policy } from "./policy.ts";

const STRICT: Accepted = { tls: true, plaintext: false, forTcp: false };

/**
 * All ports of a service come in by one: which of them is meant, the request tells when it is there. So plaintext comes in
 * where any port takes it, and a port that does not refuses the request.
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
