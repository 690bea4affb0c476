/**
 * The listener for peers. It accepts plain TCP and upgrades, so that every connection gets the certificate of the
 * moment and no rotation ever closes the port. Nothing of a peer is read before its certificate has been verified.
 */

import type { Socket, SocketHandler } from "bun";
import { verifyClient } from "../../ca/workload/verdict.ts";
import { Downstream } from "./downstream.ts";
import { type Listener, type ListenerOptions, listenerOf, remoteAddressOf } from "./listener.ts";
import { Timer } from "./timers.ts";
import { alpnProtocols, peerLeaf, TLS_1_3, type TlsIdentity, type TlsSocketFacts } from "./tls.ts";

export interface TlsListenerOptions extends ListenerOptions {
  /** Asked at every connection; undefined while there is no certificate yet: the connection is closed. */
  readonly identity: () => TlsIdentity | undefined;
  /** A peer was refused; `reason` is for the log. */
  readonly onRefused: (remoteAddress: string, reason: string) => void;
}

/** A peer between `accept` and the verdict on its certificate. */
interface Handshake {
  readonly kind: "handshake";
  readonly identity: TlsIdentity;
  readonly timer: Timer;
}

type TlsSocketData = Handshake | Downstream | undefined;

/** Listens for peers over mutual TLS 1.3. */
export function listenTls(options: TlsListenerOptions): Listener {
  const { address } = options;
  const gate = new Gate(options);
  const server = Bun.listen({
    hostname: address.host,
    port: address.port,
    allowHalfOpen: true,
    socket: {
      open: (socket) => gate.opened(socket),
      // Encrypted bytes pass here as well; the handlers of the secured socket see them in the clear.
      data() {},
    },
  });
  const listener = listenerOf(server, address, gate.connections);
  return {
    ...listener,
    drain() {
      gate.draining = true;
      listener.drain();
    },
  };
}

const alpn = alpnProtocols("h2", "http/1.1");

/** Lets peers in: from the accepted socket, by way of the handshake, to a downstream. */
class Gate {
  readonly connections = new Set<Downstream>();
  /** Whoever still comes in is asked to leave at once. */
  draining = false;
  readonly #options: TlsListenerOptions;
  #handshakes = 0;

  readonly #handlers: SocketHandler<TlsSocketData> = {
    handshake: (socket) => this.#handshaken(socket),
    data: (socket, chunk) => downstreamOf(socket)?.wire.received(chunk),
    drain: (socket) => downstreamOf(socket)?.wire.drainedSocket(),
    end(socket) {
      if (socket.data instanceof Downstream) socket.data.wire.receivedEnd();
      else socket.terminate();
    },
    close: (socket, error) => {
      if (socket.data instanceof Downstream) socket.data.wire.closedSocket(error);
      else this.#endHandshake(socket);
    },
    error: (socket) => downstreamOf(socket)?.wire.destroy(),
  };

  constructor(options: TlsListenerOptions) {
    this.#options = options;
  }

  /** A connection came in: begins the handshake, where there is room and something to show. */
  opened(socket: Socket<undefined>): void {
    const { identity, runtime } = this.#options;
    const { timers, limits } = runtime;
    const current = identity();
    if (current === undefined || this.connections.size + this.#handshakes >= limits.connectionsMax) {
      socket.terminate();
      return;
    }
    this.#handshakes++;
    const timer = new Timer(() => secured.terminate());
    timers.arm(timer, limits.handshakeTimeoutMs);
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
      { isServer: true, tls, data, socket: this.#handlers } as Parameters<typeof socket.upgradeTLS<TlsSocketData>>[0],
    );
  }

  #handshaken(socket: Socket<TlsSocketData>): void {
    const handshake = socket.data;
    if (handshake === undefined || handshake instanceof Downstream) return;
    this.#endHandshake(socket);
    const { runtime, accept, onRefused } = this.#options;
    const facts = socket as unknown as TlsSocketFacts;
    const remoteAddress = remoteAddressOf(socket);
    const verdict = verifyClient({
      authorized: facts.authorized,
      raw: peerLeaf(facts),
      trustDomain: handshake.identity.trustDomain,
      nowMs: runtime.wallMs(),
    });
    if (!verdict.ok) {
      onRefused(remoteAddress, verdict.error.message);
      socket.terminate();
      return;
    }
    const { namespace, service, id } = verdict.value;
    const peer = { remoteAddress, caller: { namespace, service }, principal: id, scheme: "https" } as const;
    const downstream = new Downstream(peer, runtime, accept, (closed) => this.connections.delete(closed));
    this.connections.add(downstream);
    socket.data = downstream;
    downstream.wire.attach(socket, downstream);
    downstream.speak(facts.alpnProtocol === "h2" ? "h2" : "http/1.1");
    if (this.draining) downstream.drain();
  }

  #endHandshake(socket: Socket<TlsSocketData>): void {
    if (socket.data === undefined || socket.data instanceof Downstream) return;
    socket.data.timer.cancel();
    socket.data = undefined;
    this.#handshakes--;
  }
}

function downstreamOf(socket: Socket<TlsSocketData>): Downstream | undefined {
  return socket.data instanceof Downstream ? socket.data : undefined;
}
