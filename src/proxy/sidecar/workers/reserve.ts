/** Which addresses several workers will share, found out before there is any of them. */

import type { Address } from "../../io/address.ts";
import type { ListenerAddresses } from "../data-plane.ts";
import { opening } from "../listeners.ts";
import type { DataPlaneOptions } from "../options.ts";

/**
 * Makes sure that nobody listens there yet, and chooses a port where any would do. Shared listeners could not tell: a
 * second sidecar on the same ports would be given half of the first one's connections. Throws, with the address and the
 * reason, where one is taken.
 */
export function reserveAddresses({ inbound, outbound, outboundTls, upstreams }: DataPlaneOptions): ListenerAddresses {
  return {
    inbound: free(inbound),
    outbound: free(outbound),
    outboundTls: outboundTls && free(outboundTls),
    upstreams: upstreams.map(({ address }) => free(address)),
  };
}

function free(address: Address): Address {
  const { host, port } = address;
  const probe = opening(address, () => Bun.listen({ hostname: host, port, socket: { data() {} } }));
  probe.stop(true);
  return { host, port: probe.port };
}
