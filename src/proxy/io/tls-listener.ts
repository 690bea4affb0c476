/**
 * The listener for peers: mutual TLS 1.3. It accepts plain TCP and upgrades, so that every connection gets the
 * certificate of the moment and no rotation ever closes the port.
 */

import type { Socket, SocketHandler } from "bun";
import type { RevocationCheck } from "../../ca/workload/revocations.ts";
import type { PeerRefusal } from "../../ca/workload/svid.ts";
import type { TrustDomains } from "../../ca/workload/trust-domains.ts";
import { verifyClient } from "../../ca/workload/verdict.ts";
import { openPeek, type Peek } from "../intercept/peek.ts";
import type { Runtime } from "../runtime.ts";
import { brokenByClient } from "./broken-handshake.ts";
import { type AcceptRequest, Downstream, type DownstreamFacts } from "./downstream.ts";
import { FirstByte } from "./first-byte.ts";
import { bindingOf, type Listener, type ListenerOptions, listenerOf, remoteAddressOf } from "./listener.ts";
import { Timer } from "./timers.ts";
import {
  alpnProtocols,
  peerChain,
  peerLeaf,
  serverNameOf,
  TLS_1_3,
  type TlsIdentity,
  type TlsSocketFacts,
} from "./tls.ts";

export interface TlsListenerOptions extends ListenerOptions {
  /** Asked at every connection; undefined while there is no certificate yet: the connection is closed. */
  readonly identity: () => TlsIdentity | undefined;
  /** Trust domains that are believed, ours among them; undefined: ours alone, by the identity's bundle. */
  readonly domains?: () => TrustDomains | undefined;
  /** Absent: nobody is revoked. */
  readonly revocation?: RevocationCheck;
  /** What may come in, asked at every connection; absent: mutual TLS. */
  readonly accepts?: () => Accepted;
  /** A peer was refused. */
  readonly onRefused: (remoteAddress: string, refusal: PeerRefusal) => void;
}

/** What may come in by the listener for peers. */
export interface Accepted {
  readonly tls: boolean;
  readonly plaintext: boolean;
  /** The application speaks no HTTP. */
  readonly forTcp: boolean;
}

const TLS_ONLY: Accepted = { tls: true, plaintext: false, forTcp: false };

const SESSION_RESUMED: PeerRefusal = {
  reason: "session_resumed",
  message: "the client resumed a session in place of showing its certificate",
};

const ALPN = alpnProtocols("h2", "http/1.1");

/** A peer between `accept` and the verdict on its certificate. */
interface Handshake {
  readonly kind: "handshake";
  /** The first byte that the peer sent; undefined: nothing yet. */
  firstByte: number | undefined;
  readonly identity: TlsIdentity;
  readonly timer: Timer;
  /** Asked while the connection stands: a closed socket knows no peer. */
  readonly remoteAddress: string;
  readonly ip: string;
}

/** Of the connection as it was accepted, which goes on beside the secured one. */
type PlainSocketData = Handshake | FirstByte | Downstream | undefined;

type TlsSocketData = Handshake | Downstream | undefined;

function downstreamOf(socket: Socket<TlsSocketData> | Socket<PlainSocketData>): Downstream | undefined {
  return socket.data instanceof Downstream ? socket.data : undefined;
}

/** Takes plain connections, secures them, and lets in whoever proves to be a workload of our trust domain. */
class TlsAcceptor {
  readonly connections = new Set<Downstream>();
  draining = false;
  readonly #options: TlsListenerOptions;
  readonly #runtime: Runtime;
  readonly #accept: AcceptRequest;
  readonly #handlers: SocketHandler<TlsSocketData>;
  #handshakes = 0;
  /** Loaded when it is first needed; it sees no byte until then. */
  #peek: Promise<Peek | undefined> | undefined;
  #peekNow: Peek | undefined;

  constructor(options: TlsListenerOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#accept = options.accept;
    this.#handlers = {
      handshake: (socket, success, error) => (success ? this.#handshaken(socket) : this.#brokenOff(socket, error)),
      data: (socket, chunk) => downstreamOf(socket)?.wire.received(chunk),
      drain: (socket) => downstreamOf(socket)?.wire.drainedSocket(),
      end(socket) {
        if (socket.data instanceof Downstream) socket.data.wire.receivedEnd();
        else socket.terminate();
      },
      close: (socket, error) => {
        if (socket.data instanceof Downstream) socket.data.wire.closedSocket(error);
        else this.#brokenOff(socket, error);
      },
      error: (socket, error) => downstreamOf(socket)?.wire.failed(error),
    };
  }

  opened(socket: Socket<PlainSocketData>): void {
    if (this.connections.size + this.#handshakes >= this.#runtime.limits.connectionsMax) {
      this.#options.onLimit?.("connectionsMax");
      socket.terminate();
      return;
    }
    const accepted = this.#options.accepts?.() ?? TLS_ONLY;
    if (!accepted.plaintext) this.#secure(socket);
    else if (accepted.tls) this.#tellApart(socket, accepted);
    else this.#takePlain(socket, accepted);
  }

  /** The listener's own socket is gone, before it was told what comes, or as a plain connection. */
  closed({ data }: Socket<PlainSocketData>, error?: Error): void {
    if (data instanceof Downstream) data.wire.closedSocket(error);
    if (!(data instanceof FirstByte)) return;
    data.cancel();
    this.#handshakes--;
  }

  /** Whoever waits for us to speak first has no TLS to offer, or nothing to say at all. */
  #tellApart(socket: Socket<PlainSocketData>, accepted: Accepted): void {
    const { limits, timers } = this.#runtime;
    this.#peek ??= openPeek().catch(() => undefined);
    void this.#peek.then((peek) => {
      this.#peekNow = peek ?? noPeek;
    });
    const told = (goOn: () => void): void => {
      this.#handshakes--;
      socket.data = undefined;
      goOn();
    };
    this.#handshakes++;
    const first = new FirstByte({
      socket,
      peek: () => this.#peekNow,
      timers,
      timeoutMs: accepted.forTcp ? limits.protocolDetectionTimeoutMs : limits.handshakeTimeoutMs,
      onByte: (isTls) => told(() => (isTls ? this.#secure(socket) : this.#takePlain(socket, accepted))),
      onSilence: () => told(() => (accepted.forTcp ? this.#takePlain(socket, accepted, true) : this.#giveUp(socket))),
    });
    socket.data = first;
    first.begin();
  }

  /** A plaintext peer has no identity. */
  #takePlain(socket: Socket<PlainSocketData>, { forTcp }: Accepted, isSilent = false): void {
    const [remoteAddress, ip] = [remoteAddressOf(socket), socket.remoteAddress];
    const facts = { remoteAddress, ip, caller: undefined, principal: undefined, scheme: "http", forTcp } as const;
    const downstream = this.#downstream(facts);
    socket.data = downstream;
    downstream.wire.attach(socket, downstream);
    if (isSilent) downstream.speakRaw();
    socket.resume();
    if (this.draining) downstream.drain();
  }

  #giveUp(socket: Socket<PlainSocketData> | Socket<TlsSocketData>): void {
    this.#options.onLimit?.("handshakeTimeoutMs");
    socket.terminate();
  }

  #downstream(facts: DownstreamFacts): Downstream {
    const onClosed = (closed: Downstream): void => void this.connections.delete(closed);
    const downstream = new Downstream(facts, this.#runtime, this.#accept, onClosed, this.#options.onLimit);
    this.connections.add(downstream);
    return downstream;
  }

  #secure(socket: Socket<PlainSocketData>): void {
    const identity = this.#options.identity();
    const { limits, timers } = this.#runtime;
    if (identity === undefined) {
      socket.terminate();
      return;
    }
    this.#handshakes++;
    const timer = new Timer(() => this.#giveUp(secured));
    timers.arm(timer, limits.handshakeTimeoutMs);
    const tls = {
      cert: identity.certificateChain,
      key: identity.privateKey,
      ca: this.#options.domains?.()?.bundle ?? identity.trustBundle,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: TLS_1_3,
      ALPNProtocols: ALPN,
    };
    const [remoteAddress, ip] = [remoteAddressOf(socket), socket.remoteAddress];
    const data: Handshake = { kind: "handshake", firstByte: undefined, identity, timer, remoteAddress, ip };
    // The plain socket has handed its connection over: only the secured one can still end it.
    socket.data = data;
    const [, secured] = socket.upgradeTLS<TlsSocketData>(
      // `isServer` and `minVersion` are missing from the runtime's types; test/proxy/io/listener.test.ts holds both.
      { isServer: true, tls, data, socket: this.#handlers } as Parameters<typeof socket.upgradeTLS<TlsSocketData>>[0],
    );
  }

  #handshaken(socket: Socket<TlsSocketData>): void {
    const handshake = socket.data;
    if (handshake === undefined || handshake instanceof Downstream) return;
    this.#endHandshake(socket);
    const { remoteAddress, ip } = handshake;
    const facts = socket as unknown as TlsSocketFacts;
    // A session ticket would admit its holder although the certificate has expired or been revoked since.
    if (facts.isSessionReused?.() === true) {
      this.#options.onRefused(remoteAddress, SESSION_RESUMED);
      socket.terminate();
      return;
    }
    const domains = this.#options.domains?.();
    const verdict = verifyClient({
      authorized: facts.authorized,
      raw: peerLeaf(facts),
      trustDomain: handshake.identity.trustDomain,
      trust: domains && { domains, chain: () => peerChain(facts) },
      revocation: this.#options.revocation,
      nowMs: this.#runtime.wallMs(),
    });
    if (!verdict.ok) {
      this.#options.onRefused(remoteAddress, verdict.error);
      socket.terminate();
      return;
    }
    const peer = verdict.value;
    const { namespace, service, id, trustDomain } = peer;
    const isForeign = trustDomain !== handshake.identity.trustDomain;
    const caller = { namespace, service, ...(isForeign ? { trustDomain } : {}) };
    const serverName = serverNameOf(facts);
    const known = { remoteAddress, ip, serverName, caller, principal: id, peer, scheme: "https" } as const;
    const downstream = this.#downstream(known);
    socket.data = downstream;
    downstream.wire.attach(socket, downstream);
    downstream.speak(facts.alpnProtocol === "h2" ? "h2" : "http/1.1");
    if (this.draining) downstream.drain();
  }

  /** The connection is gone before the handshake was over. A peer that sent nothing was only probing the port. */
  #brokenOff(socket: Socket<TlsSocketData>, error: Error | null | undefined): void {
    const handshake = socket.data;
    if (handshake === undefined || handshake instanceof Downstream) return;
    this.#endHandshake(socket);
    const { remoteAddress, firstByte } = handshake;
    if (firstByte !== undefined) this.#options.onRefused(remoteAddress, brokenByClient(firstByte, error));
    socket.terminate();
  }

  #endHandshake(socket: Socket<TlsSocketData>): void {
    if (socket.data === undefined || socket.data instanceof Downstream) return;
    socket.data.timer.cancel();
    socket.data = undefined;
    this.#handshakes--;
  }
}

/** Where nothing can be told apart, everything is taken for TLS: nothing is let in on a guess. */
function noPeek(): number {
  return 0x16;
}

/** Listens for peers. Nothing of a peer is read before its certificate has been verified, unless plaintext may come. */
export function listenTls(options: TlsListenerOptions): Listener {
  const { address } = options;
  const acceptor = new TlsAcceptor(options);
  const server = Bun.listen<PlainSocketData>({
    ...bindingOf(options),
    allowHalfOpen: true,
    socket: {
      open: (socket) => acceptor.opened(socket),
      // Encrypted bytes pass here as well; the TLS handlers see them in the clear.
      data(socket, chunk) {
        const { data } = socket;
        if (data instanceof Downstream) data.wire.received(chunk);
        else if (data !== undefined && !(data instanceof FirstByte)) data.firstByte ??= chunk[0];
      },
      drain: (socket) => downstreamOf(socket)?.wire.drainedSocket(),
      end: (socket) => downstreamOf(socket)?.wire.receivedEnd(),
      close: (socket, error) => acceptor.closed(socket, error),
      error: (socket, error) => downstreamOf(socket)?.wire.failed(error),
    },
  });
  const listener = listenerOf(server, address, acceptor.connections);
  return {
    ...listener,
    drain() {
      acceptor.draining = true;
      listener.drain();
    },
  };
}
