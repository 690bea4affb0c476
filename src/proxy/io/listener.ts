/**
 * Listeners. A plain one for the application beside us; a TLS one for peers, which accepts plain TCP and upgrades, so
 * that every connection gets the certificate of the moment and no rotation ever closes the port.
 */

import type { Socket, SocketHandler } from "bun";
import { verifyClient } from "../../ca/workload/verdict.ts";
import type { Runtime } from "../runtime.ts";
import { type AcceptRequest, type BoundService, Downstream, type DownstreamFacts } from "./downstream.ts";
import { Timer } from "./timers.ts";
import { alpnProtocols, peerLeaf, TLS_1_3, type TlsIdentity, type TlsSocketFacts } from "./tls.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ListenerOptions {
  readonly address: Address;
  readonly runtime: Runtime;
  readonly accept: AcceptRequest;
}

export interface PlainListenerOptions extends ListenerOptions {
  /** The listener stands for one service. */
  readonly boundTo?: BoundService;
  /** Asked at every connection: true where bytes are to be carried as they are, whatever they say. */
  readonly rawTcp?: () => boolean;
}

export interface TlsListenerOptions extends ListenerOptions {
  /** Asked at every connection; undefined while there is no certificate yet: the connection is closed. */
  readonly identity: () => TlsIdentity | undefined;
  /** A peer was refused; `reason` is for the log. */
  readonly onRefused: (remoteAddress: string, reason: string) => void;
}

export interface Listener {
  readonly address: Address;
  readonly connections: ReadonlySet<Downstream>;
  /** Accepts nothing more, and lets open connections finish. */
  drain(): void;
  /** Closes everything now. */
  close(): void;
}

function remoteAddressOf(socket: Socket<unknown>): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}

/** Callbacks of a socket whose `data` is the downstream that it carries. */
const downstreamHandlers: SocketHandler<Downstream | undefined> = {
  data: (socket, chunk) => socket.data?.wire.received(chunk),
  drain: (socket) => socket.data?.wire.drainedSocket(),
  end: (socket) => socket.data?.wire.receivedEnd(),
  close: (socket, error) => socket.data?.wire.closedSocket(error),
  error: (socket) => socket.data?.wire.destroy(),
};

/** Listens for plain HTTP: the application's calls. HTTP/1.1 and HTTP/2 are told apart by the first bytes. */
export function listenPlain(options: PlainListenerOptions): Listener {
  const { address, runtime, accept } = options;
  const connections = new Set<Downstream>();
  const server = Bun.listen<Downstream | undefined>({
    hostname: address.host,
    port: address.port,
    allowHalfOpen: true,
    socket: {
      ...downstreamHandlers,
      open(socket) {
        if (connections.size >= runtime.limits.connectionsMax) {
          socket.terminate();
          return;
        }
        const facts: DownstreamFacts = {
          remoteAddress: remoteAddressOf(socket),
          caller: undefined,
          principal: undefined,
          scheme: "http",
          boundTo: options.boundTo,
        };
        const downstream = new Downstream(facts, runtime, accept, (closed) => connections.delete(closed));
        connections.add(downstream);
        socket.data = downstream;
        downstream.wire.attach(socket, downstream);
        if (options.rawTcp?.() === true) downstream.speak("tcp");
      },
    },
  });
  return handle(server, address, connections);
}

/** A peer between `accept` and the verdict on its certificate. */
interface Handshake {
  readonly kind: "handshake";
  readonly identity: TlsIdentity;
  readonly timer: Timer;
}

type TlsSocketData = Handshake | Downstream | undefined;

function downstreamOf(socket: Socket<TlsSocketData>): Downstream | undefined {
  return socket.data instanceof Downstream ? socket.data : undefined;
}

/** Listens for peers over mutual TLS 1.3. Nothing of a peer is read before its certificate has been verified. */
export function listenTls(options: TlsListenerOptions): Listener {
  const { address, runtime, accept, identity, onRefused } = options;
  const connections = new Set<Downstream>();
  const alpn = alpnProtocols("h2", "http/1.1");
  let handshakes = 0;
  let draining = false;

  const tlsHandlers: SocketHandler<TlsSocketData> = {
    handshake(socket) {
      const handshake = socket.data;
      if (handshake === undefined || handshake instanceof Downstream) return;
      endHandshake(socket);
      const facts = socket as unknown as TlsSocketFacts;
      const verdict = verifyClient({
        authorized: facts.authorized,
        raw: peerLeaf(facts),
        trustDomain: handshake.identity.trustDomain,
        nowMs: runtime.wallMs(),
      });
      if (!verdict.ok) {
        onRefused(remoteAddressOf(socket), verdict.error.message);
        socket.terminate();
        return;
      }
      const { namespace, service, id } = verdict.value;
      const downstream = new Downstream(
        {
          remoteAddress: remoteAddressOf(socket),
          caller: { namespace, service },
          principal: id,
          scheme: "https",
        },
        runtime,
        accept,
        (closed) => connections.delete(closed),
      );
      connections.add(downstream);
      socket.data = downstream;
      downstream.wire.attach(socket, downstream);
      downstream.speak(facts.alpnProtocol === "h2" ? "h2" : "http/1.1");
      if (draining) downstream.drain();
    },
    data: (socket, chunk) => downstreamOf(socket)?.wire.received(chunk),
    drain: (socket) => downstreamOf(socket)?.wire.drainedSocket(),
    end(socket) {
      if (socket.data instanceof Downstream) socket.data.wire.receivedEnd();
      else socket.terminate();
    },
    close(socket, error) {
      if (socket.data instanceof Downstream) socket.data.wire.closedSocket(error);
      else endHandshake(socket);
    },
    error: (socket) => downstreamOf(socket)?.wire.destroy(),
  };

  function endHandshake(socket: Socket<TlsSocketData>): void {
    if (socket.data === undefined || socket.data instanceof Downstream) return;
    socket.data.timer.cancel();
    socket.data = undefined;
    handshakes--;
  }

  const server = Bun.listen({
    hostname: address.host,
    port: address.port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        const current = identity();
        if (current === undefined || connections.size + handshakes >= runtime.limits.connectionsMax) {
          socket.terminate();
          return;
        }
        handshakes++;
        const timer = new Timer(() => secured.terminate());
        runtime.timers.arm(timer, runtime.limits.handshakeTimeoutMs);
        const tls = {
          cert: current.certificateChain,
          key: current.privateKey,
          ca: current.trustBundle,
          requestCert: true,
          rejectUnauthorized: true,
          minVersion: TLS_1_3,
          ALPNProtocols: alpn,
        };
        const data: Handshake = { kind: "handshake", identity: current, timer };
        // The plain socket has handed its connection over: only the secured one can still end it.
        const [, secured] = socket.upgradeTLS<TlsSocketData>(
          // `isServer` and `minVersion` are missing from the runtime's types; test/proxy/io/listener.test.ts holds both.
          { isServer: true, tls, data, socket: tlsHandlers } as Parameters<typeof socket.upgradeTLS<TlsSocketData>>[0],
        );
      },
      // Encrypted bytes pass here as well; the TLS handlers above see them in the clear.
      data() {},
    },
  });
  const listener = handle(server, address, connections);
  return {
    ...listener,
    drain() {
      draining = true;
      listener.drain();
    },
  };
}

function handle(
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
