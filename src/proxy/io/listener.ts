/**
 * Listeners, and the plain one: for the calls of the application beside us. `tls-listener.ts` has the one for peers.
 */

import type { Socket, SocketHandler } from "bun";
import type { LimitMet } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import type { Address } from "./address.ts";
import {
  type AcceptRequest,
  type BoundService,
  Downstream,
  type DownstreamFacts,
  type Redirect,
} from "./downstream.ts";
import { Timer } from "./timers.ts";

export interface ListenerOptions {
  readonly address: Address;
  readonly runtime: Runtime;
  readonly accept: AcceptRequest;
  /** An IPv6 address, and IPv4 has a listener of its own. */
  readonly ipv6Only?: boolean;
  /** Other processes listen there as well (SO_REUSEPORT): the kernel chooses who gets a connection. */
  readonly shared?: boolean | undefined;
  readonly onLimit?: LimitMet;
}

export interface PlainListenerOptions extends ListenerOptions {
  /** The listener stands for one service. */
  readonly boundTo?: BoundService;
  /** For TLS that the called service ends: a connection is for whom its server name says. */
  readonly byServerName?: boolean;
  /** Asked at every connection: true where bytes are to be carried as they are, whatever they say. */
  readonly rawTcp?: () => boolean;
  /** Asked at every connection: where it was going, if it was redirected to us. */
  readonly redirect?: ((socket: Socket<unknown>) => Redirect | undefined) | undefined;
}

/** A listener that is open. */
export interface Listener {
  readonly address: Address;
  readonly connections: ReadonlySet<Downstream>;
  /** Accepts nothing more, and lets open connections finish. */
  drain(): void;
  /** Closes everything now. */
  close(): void;
}

/** `address:port` of the peer. */
export function remoteAddressOf(socket: Socket<unknown>): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** Callbacks of a socket whose `data` is the downstream that it carries. */
const downstreamHandlers: SocketHandler<Downstream | undefined> = {
  data: (socket, chunk) => socket.data?.wire.received(chunk),
  drain: (socket) => socket.data?.wire.drainedSocket(),
  end: (socket) => socket.data?.wire.receivedEnd(),
  close: (socket, error) => socket.data?.wire.closedSocket(error),
  error: (socket, error) => socket.data?.wire.failed(error),
};

/** Listens for plain HTTP: the application's calls. HTTP/1.1 and HTTP/2 are told apart by the first bytes. */
export function listenPlain(options: PlainListenerOptions): Listener {
  const { address, runtime, accept, onLimit } = options;
  const connections = new Set<Downstream>();
  const server = Bun.listen<Downstream | undefined>({
    ...bindingOf(options),
    allowHalfOpen: true,
    socket: {
      ...downstreamHandlers,
      open(socket) {
        if (connections.size >= runtime.limits.connectionsMax) {
          onLimit?.("connectionsMax");
          socket.terminate();
          return;
        }
        const redirect = options.redirect?.(socket);
        const facts: DownstreamFacts = {
          remoteAddress: remoteAddressOf(socket),
          ip: socket.remoteAddress,
          caller: undefined,
          principal: undefined,
          scheme: "http",
          boundTo: options.boundTo,
          redirect,
          ...(options.byServerName === undefined ? {} : { byServerName: options.byServerName }),
        };
        const downstream = new Downstream(facts, runtime, accept, (closed) => connections.delete(closed), onLimit);
        connections.add(downstream);
        socket.data = downstream;
        downstream.wire.attach(socket, downstream);
        if (options.rawTcp?.() === true || redirect?.protocol === "tcp") downstream.speak("tcp");
        else if (redirect !== undefined && redirect.protocol === undefined) {
          runtime.timers.arm(new Timer(() => downstream.speakRaw()), runtime.limits.protocolDetectionTimeoutMs);
        }
      },
    },
  });
  return listenerOf(server, address, connections);
}

/** Where to listen, as the runtime takes it; its types leave `ipv6Only` and `reusePort` out. */
export function bindingOf({ address, ipv6Only = false, shared = false }: ListenerOptions) {
  return { hostname: address.host, port: address.port, ipv6Only, reusePort: shared };
}

/** What a listening socket is to its owner. */
export function listenerOf(
  server: { readonly port: number; stop(closeActive?: boolean): void },
  address: Address,
  connections: ReadonlySet<Downstream>,
): Listener {
  return {
    address: { host: address.host, port: server.port },
    connections,
    drain() {
      server.stop(false);
      for (const connection of connections) connection.drain();
    },
    close() {
      server.stop(true);
      for (const connection of connections) connection.wire.destroy();
    },
  };
}
