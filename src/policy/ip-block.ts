/** Ranges of IP addresses, as policy writes them: `10.0.0.0/8`, `2001:db8::/32`, or one address. */

import { BlockList, isIP, isIPv6 } from "node:net";

interface IpBlock {
  readonly address: string;
  /** Leading bits that count. */
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/** Whether the text is an address or a range. */
export function isIpBlock(text: string): boolean {
  return parseIpBlock(text) !== undefined;
}

/**
 * Whether an address lies in any of the ranges, which must be valid. An IPv4 address in IPv6 form (RFC 4291 §2.5.5.2)
 * is found in IPv4 ranges as well.
 */
export function compileIpBlocks(texts: readonly string[]): (ip: string) => boolean {
  const list = new BlockList();
  for (const text of texts) {
    const block = parseIpBlock(text);
    if (block === undefined) throw new Error(`not a range of addresses: ${text}`);
    list.addSubnet(block.address, block.prefix, block.family);
  }
  return (ip) => list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
}

/**
 * Undefined for what is no address or range (RFC 4632 §3.1, RFC 4291 §2.3). Zone identifiers (`%eth0`) are none of it.
 */
function parseIpBlock(text: string): IpBlock | undefined {
  const [address = "", prefixText, ...rest] = text.split("/");
  const version = address.includes("%") ? 0 : isIP(address);
  if (version === 0 || rest.length > 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? bits : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  if (prefix < 0 || prefix > bits) return undefined;
  return { address, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}
