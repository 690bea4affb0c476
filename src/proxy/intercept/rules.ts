/**
 * The iptables rules of transparent interception, as text for `iptables-restore --noflush` and its IPv6 twin: one
 * transaction, so that there is no moment with half of the rules. Everything of ours stands in chains whose names begin
 * with `HEDDLE_`; what was there before is told from the output of `iptables-save`, and goes with the same transaction.
 */

import { isIP, isIPv4 } from "node:net";

export type AddressFamily = "ipv4" | "ipv6";

export interface InterceptionRules {
  /** Uid of the sidecar, whose own connections are left alone: they are what redirected ones turn into. */
  readonly sidecarUser: number;
  /** Where connections of peers are sent to, and connections of everybody on this machine. */
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** Ports that peers' connections are intercepted at; undefined: all. */
  readonly inboundPorts: readonly number[] | undefined;
  /** Left alone in both directions, beside those that always are. */
  readonly excludedPorts: readonly number[];
  /** Destinations that connections go to as if there were no mesh: CIDRs of either family. */
  readonly excludedNetworks: readonly string[];
}

/**
 * SSH, since a mistake in the options would otherwise lock their author out; and the sidecar's admin, health and
 * metrics pages, which are not part of the mesh.
 */
const ALWAYS_EXCLUDED = [22, 15_000, 15_021, 15_090];
/** A resolver goes on over TCP where an answer is too long for UDP, and UDP is left alone. */
const DNS_PORT = 53;

const INBOUND = "HEDDLE_INBOUND";
const OUTBOUND = "HEDDLE_OUTBOUND";
/** Only what is for this machine: a host of containers also forwards connections that are none of its business. */
const INBOUND_JUMP = `PREROUTING -p tcp -m addrtype --dst-type LOCAL -j ${INBOUND}`;
const OUTBOUND_JUMP = `OUTPUT -p tcp -j ${OUTBOUND}`;

/** The transaction that puts the rules in force in place of those that `saved` (by `iptables-save -t nat`) holds. */
export function installScript(rules: InterceptionRules, family: AddressFamily, saved: string): string {
  const own = ownParts(saved);
  const body = [
    // Declaring a chain also empties it.
    ...[...new Set([INBOUND, OUTBOUND, ...own.chains])].map((chain) => `:${chain} - [0:0]`),
    ...own.jumps.map((rule) => `-D ${rule}`),
    ...own.chains.filter((chain) => chain !== INBOUND && chain !== OUTBOUND).map((chain) => `-X ${chain}`),
    ...inboundRules(rules),
    ...outboundRules(rules, family),
    `-A ${INBOUND_JUMP}`,
    `-A ${OUTBOUND_JUMP}`,
  ];
  return transaction(body);
}

/** The transaction that leaves nothing of ours behind; undefined where there is nothing. */
export function removeScript(saved: string): string | undefined {
  const { jumps, chains } = ownParts(saved);
  if (jumps.length === 0 && chains.length === 0) return undefined;
  return transaction([
    ...jumps.map((rule) => `-D ${rule}`),
    ...chains.map((chain) => `-F ${chain}`),
    ...chains.map((chain) => `-X ${chain}`),
  ]);
}

/** True for `10.0.0.0/8`, `fd00::/8` or a single address of either family. */
export function isNetwork(text: string): boolean {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes("%")) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

function inboundRules({ inboundPort, inboundPorts, excludedPorts }: InterceptionRules): string[] {
  const excluded = sorted([...ALWAYS_EXCLUDED, inboundPort, ...excludedPorts]);
  const redirect = `-j REDIRECT --to-ports ${inboundPort}`;
  return [
    "-i lo -j RETURN",
    ...excluded.map((port) => `-p tcp -m tcp --dport ${port} -j RETURN`),
    ...(inboundPorts === undefined
      ? [`-p tcp ${redirect}`]
      : sorted(inboundPorts).map((port) => `-p tcp -m tcp --dport ${port} ${redirect}`)),
  ].map((rule) => `-A ${INBOUND} ${rule}`);
}

function outboundRules(rules: InterceptionRules, family: AddressFamily): string[] {
  const { sidecarUser, outboundPort, excludedPorts, excludedNetworks } = rules;
  const networks = excludedNetworks.filter((network) => isIPv4(network.split("/", 1)[0] ?? "") === (family === "ipv4"));
  return [
    // First, so that no rule below can lead the sidecar back to itself.
    `-m owner --uid-owner ${sidecarUser} -j RETURN`,
    "-o lo -j RETURN",
    ...sorted([...ALWAYS_EXCLUDED, DNS_PORT, ...excludedPorts]).map(
      (port) => `-p tcp -m tcp --dport ${port} -j RETURN`,
    ),
    ...networks.map((network) => `-d ${network} -j RETURN`),
    `-p tcp -j REDIRECT --to-ports ${outboundPort}`,
  ].map((rule) => `-A ${OUTBOUND} ${rule}`);
}

interface OwnParts {
  /** Rules in chains of others that lead into ours, as `iptables-save` writes them, without `-A`. */
  readonly jumps: readonly string[];
  readonly chains: readonly string[];
}

/** What of a saved table is ours, whichever version put it there. */
function ownParts(saved: string): OwnParts {
  const jumps: string[] = [];
  const chains: string[] = [];
  for (const line of saved.split("\n")) {
    const chain = /^:(HEDDLE_\S+) /.exec(line)?.[1];
    if (chain !== undefined) chains.push(chain);
    else if (/^-A (?!HEDDLE_).* -[jg] HEDDLE_\S+$/.test(line)) jumps.push(line.slice("-A ".length));
  }
  return { jumps, chains };
}

function transaction(lines: readonly string[]): string {
  return ["*nat", ...lines, "COMMIT", ""].join("\n");
}

function sorted(ports: readonly number[]): number[] {
  return [...new Set(ports)].sort((a, b) => a - b);
}
