/** What a sidecar takes traffic in by: peers, the application's calls, and single services. */

import type { RevocationCheck } from "../../ca/workload/revocations.ts";
import { serviceRef } from "../../policy/names.ts";
import { Exchange } from "../exchange.ts";
import { InFlight } from "../in-flight.ts";
import { Inbound } from "../inbound.ts";
import type { Address } from "../io/address.ts";
import type { AcceptRequest, Downstream } from "../io/downstream.ts";
import { type Listener, listenPlain, type PlainListenerOptions } from "../io/listener.ts";
import type { TlsIdentity } from "../io/tls.ts";
import { listenTls, type TlsListenerOptions } from "../io/tls-listener.ts";
import { type LimitMet, limitOption } from "../limits.ts";
import { acceptedBy } from "../mtls.ts";
import { OpenExchanges } from "../open-exchanges.ts";
import { Outbound } from "../outbound.ts";
import { Passthrough } from "../passthrough.ts";
import type { Policy } from "../policy.ts";
import { recordUnreadable } from "../record.ts";
import type { Runtime } from "../runtime.ts";
import { portOf, protocolOf } from "../service-port.ts";
import type { Side } from "../side.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Applications } from "./applications.ts";
import type { ListenerAddresses } from "./data-plane.ts";
import { IdleMemory } from "./idle-memory.ts";
import { listenWithTwin, redirectResolver } from "./interception.ts";
import type { BoundListener, DataPlaneOptions } from "./options.ts";
import type { UpstreamDirectory } from "./upstream-directory.ts";

/** What the listeners read of the sidecar, each time anew. */
export interface ListenerSources {
  readonly telemetry: Telemetry;
  readonly policy: () => Policy | undefined;
  readonly identity: () => TlsIdentity | undefined;
  readonly domains: NonNullable<TlsListenerOptions["domains"]>;
  readonly revocation: RevocationCheck;
  readonly onRefused: TlsListenerOptions["onRefused"];
  readonly upstreams: UpstreamDirectory;
  readonly applications: Applications;
}

export interface SidecarListeners {
  readonly addresses: ListenerAddresses;
  /** Those of peers, as they are now. */
  peerConnections(): Iterable<Downstream>;
  /** Policy has changed: ends what it would no longer let in. */
  review(): void;
  /** Ends as requests under way end, while `goOn` says so. Resolves with the number of connections that are left. */
  drain(goOn: () => boolean): Promise<number>;
  close(): void;
}

const CLOSED_POLL_MS = 20;

/** Opens them all. Where one cannot be opened, closes those before it and throws, with its address and the reason. */
export function openListeners(options: DataPlaneOptions, sources: ListenerSources): SidecarListeners {
  const opened: Closable[] = [];
  try {
    return openEach(options, sources, opened);
  } catch (error) {
    for (const listener of opened) listener.close();
    throw error;
  }
}

interface Closable {
  close(): void;
}

function openEach(options: DataPlaneOptions, sources: ListenerSources, opened: Closable[]): SidecarListeners {
  const { runtime, labels, interception } = options;
  const { telemetry, policy, upstreams, applications } = sources;
  const { version } = labels;
  const endpoints = upstreams.get.bind(upstreams);
  const passthrough = interception?.outboundTrafficPolicy === "allow-any" ? new Passthrough(runtime) : undefined;
  const inFlight = new InFlight(runtime.monotonicMs);
  const inbound = new Inbound({ runtime, telemetry, policy, inFlight, version, applications });
  const outbound = new Outbound({ runtime, telemetry, policy, endpoints, inFlight, version, passthrough });
  const open = new OpenExchanges();
  opened.push(new IdleMemory(runtime, open));
  const peers = openForPeers(options, sources, acceptInto(runtime, inbound, open), opened);
  const own = openForApplication(options, sources, acceptInto(runtime, outbound, open), opened);
  const ownListeners = [...own.calls, ...(own.tls === undefined ? [] : [own.tls]), ...own.bound];
  return {
    addresses: {
      inbound: peers[0].address,
      outbound: own.calls[0].address,
      outboundTls: own.tls?.address,
      upstreams: own.bound.map(({ address }) => address),
    },
    *peerConnections() {
      for (const { connections } of peers) yield* connections;
    },
    review: () => open.review(),
    async drain(goOn) {
      // Inbound first: to finish what it was asked, the application may have to make calls of its own.
      for (const listeners of [peers, ownListeners]) {
        for (const listener of listeners) listener.drain();
        while (openConnections(listeners) > 0 && goOn()) await Bun.sleep(CLOSED_POLL_MS);
      }
      const left = openConnections([...peers, ...ownListeners]);
      // A mere end of the connection could pass for the end of what was on it. Goes out at the end of this turn.
      open.cutOff();
      await new Promise(setImmediate);
      return left;
    },
    close() {
      for (const listener of opened) listener.close();
    },
  };
}

/** The listener of mutual TLS, and its twin of the other address family where calls are intercepted. */
function openForPeers(
  { inbound, interception, runtime, sharedListeners }: DataPlaneOptions,
  { telemetry, policy, identity, domains, revocation, onRefused }: ListenerSources,
  accept: AcceptRequest,
  opened: Closable[],
) {
  const peerOptions: TlsListenerOptions = {
    address: inbound,
    shared: sharedListeners,
    runtime,
    accept,
    identity,
    accepts: () => acceptedBy(policy()),
    domains,
    revocation,
    onRefused,
    onLimit: limitCounter(telemetry, "inbound"),
  };
  const twin = interception?.ipv6 === true ? "::" : undefined;
  const peers = opening(inbound, () => listenWithTwin(listenTls, peerOptions, twin));
  opened.push(...peers);
  return peers;
}

/** What the application calls by: any service, any service by the name that TLS asks for, and one listener for each that was named. */
function openForApplication(
  options: DataPlaneOptions,
  { telemetry, policy, upstreams }: ListenerSources,
  accept: AcceptRequest,
  opened: Closable[],
) {
  const { runtime, interception, outbound, outboundTls, sharedListeners: shared } = options;
  const redirect = interception && redirectResolver(interception, upstreams, policy);
  const twin = interception?.ipv6 === true ? "::1" : undefined;
  const onLimit = limitCounter(telemetry, "outbound");
  const callOptions: PlainListenerOptions = { address: outbound, shared, runtime, accept, onLimit, redirect };
  const calls = opening(outbound, () => listenWithTwin(listenPlain, callOptions, twin));
  opened.push(...calls);
  const tls =
    outboundTls &&
    opening(outboundTls, () =>
      listenPlain({ address: outboundTls, shared, runtime, accept, onLimit, byServerName: true }),
    );
  if (tls !== undefined) opened.push(tls);
  const bound = options.upstreams.map((upstream) => {
    const listener = opening(upstream.address, () => listenFor(upstream, options, policy, { accept, onLimit }));
    opened.push(listener);
    return listener;
  });
  return { calls, tls, bound };
}

/** Runs what opens a listener. Where it cannot be opened, throws an error that names the address and the reason. */
export function opening<T>({ host, port }: Address, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new Error(`cannot listen on ${host}:${port}: ${LISTEN_ERRORS[code] ?? message}`, { cause: error });
  }
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "another process does already; a second sidecar of a machine needs addresses of its own " +
    "(--inbound, --outbound, --admin, --health, --metrics)",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "not allowed: ports below 1024 need privileges",
};

function listenFor(
  { namespace, name, port, address }: BoundListener,
  { runtime, trustDomain, sharedListeners }: DataPlaneOptions,
  policy: () => Policy | undefined,
  owner: Pick<PlainListenerOptions, "accept" | "onLimit">,
): Listener {
  const service = serviceRef(namespace, name);
  return listenPlain({
    address,
    shared: sharedListeners,
    runtime,
    ...owner,
    boundTo: { service, authority: `${name}.${namespace}.${trustDomain}`, port },
    rawTcp: () => {
      const { ports = [] } = policy()?.routes.upstreams.find(({ ref }) => ref === service) ?? {};
      return protocolOf(portOf(ports, ports[0]?.protocol === "tcp", port)) === "tcp";
    },
  });
}

function openConnections(listeners: readonly Listener[]): number {
  return listeners.reduce((sum, { connections }) => sum + connections.size, 0);
}

function limitCounter({ sidecar }: Telemetry, direction: "inbound" | "outbound"): LimitMet {
  return (limit) => void sidecar.limitsMet.cell({ direction, limit: limitOption(limit) }).value++;
}

function acceptInto(runtime: Runtime, side: Side, open: OpenExchanges): AcceptRequest {
  return (downstream) => ({
    accept: (stream) => new Exchange(runtime, side, open, downstream, stream),
    unreadable: (fault) => recordUnreadable(runtime, side, downstream, fault),
  });
}
