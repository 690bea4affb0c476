/** Outgoing connections: to the application beside us in plain TCP, to peers in mutual TLS 1.3. */

import type { Socket, SocketHandler } from "bun";
import type { RevocationCheck } from "../../ca/workload/revocations.ts";
import type { PeerIdentity, PeerRefusal } from "../../ca/workload/svid.ts";
import { verifyServer } from "../../ca/workload/verdict.ts";
import { Http1ClientConnection } from "../codec/http1/client-connection.ts";
import { Http2ClientConnection } from "../codec/http2/client-connection.ts";
import type { ClientConnection } from "../codec/message.ts";
import { TcpClientConnection } from "../codec/tcp/client-connection.ts";
import type { Limits } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import type { Address } from "./address.ts";
import { authorityOf } from "./address.ts";
import { brokenByServer } from "./broken-handshake.ts";
import { KeepAlive } from "./keep-alive.ts";
import { Timer } from "./timers.ts";
import {
  type ApplicationProtocol,
  alpnProtocols,
  peerLeaf,
  TLS_1_3,
  type TlsIdentity,
  type TlsSocketFacts,
} from "./tls.ts";
import { Wire } from "./wire.ts";

/** How a peer is reached and whom it must prove to be. */
export interface PeerTls {
  readonly identity: TlsIdentity;
  readonly expectedSpiffeId: string;
  /** What to ask for (SNI), for the listener's rules and log; who answers is proved by the SPIFFE ID alone. */
  readonly serverName?: string;
  /** Absent: nobody is revoked. */
  readonly revocation?: RevocationCheck;
  /** The peer is not who it must be; for the log. `onFailed` is called as well. */
  readonly onRefused?: (remoteAddress: string, refusal: PeerRefusal) => void;
}

export interface DialOptions {
  readonly address: Address;
  readonly runtime: Runtime;
  /** Absent: plain TCP. */
  readonly tls?: PeerTls | undefined;
  /** TCP and TLS handshake; `connectTimeoutMs` of the limits by default. */
  readonly connectTimeoutMs?: number | undefined;
  /** What is spoken over plain TCP; under TLS, ALPN decides. */
  readonly plainProtocol?: ApplicationProtocol;
  /** `peer`: who it proved to be; undefined over plain TCP. */
  readonly onConnected: (codec: ClientConnection, wire: Wire, peer: PeerIdentity | undefined) => void;
  /** Called once, instead of `onConnected`. `detail`: lower_snake_case for logs. */
  readonly onFailed: (detail: string) => void;
  /** The established connection is gone. */
  readonly onClosed: () => void;
}

/** One attempt to connect: from here to a codec that is ready for requests, or to a reason why not. */
class Dial {
  wire: Wire | undefined;
  #socket: Socket<Dial> | undefined;
  #settled = false;
  readonly #timer: Timer;

  constructor(readonly options: DialOptions) {
    this.#timer = new Timer(() => this.fail("connect_timeout"));
    const { runtime, connectTimeoutMs = runtime.limits.connectTimeoutMs } = options;
    runtime.timers.arm(this.#timer, connectTimeoutMs);
  }

  opened(socket: Socket<Dial>): void {
    this.#socket = socket;
    if (this.#settled) socket.terminate();
    else if (this.options.tls === undefined) {
      this.#ready(socket, this.options.plainProtocol ?? "http/1.1", undefined);
    }
  }

  handshaken(socket: Socket<Dial>, success: boolean, error: Error | null): void {
    const { tls, runtime } = this.options;
    if (tls === undefined || this.#settled) return;
    const facts = socket as unknown as TlsSocketFacts;
    const raw = peerLeaf(facts);
    if (!success && raw === undefined) {
      this.#refuse(brokenByServer(error));
      return;
    }
    const verdict = verifyServer({
      authorized: facts.authorized,
      authorizationError: (error as { code?: string } | null)?.code,
      raw,
      expectedSpiffeId: tls.expectedSpiffeId,
      revocation: tls.revocation,
      nowMs: runtime.wallMs(),
    });
    if (verdict.ok) {
      this.#ready(socket, facts.alpnProtocol === "h2" ? "h2" : "http/1.1", verdict.value);
      return;
    }
    this.#refuse(verdict.error);
  }

  #refuse(refusal: PeerRefusal): void {
    this.options.tls?.onRefused?.(authorityOf(this.options.address), refusal);
    this.fail(`tls_${refusal.reason}`);
  }

  fail(detail: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#timer.cancel();
    this.#socket?.terminate();
    this.options.onFailed(detail);
  }

  closed(error: Error | undefined): void {
    if (this.wire === undefined) this.fail("connection_closed_while_connecting");
    else this.wire.closedSocket(error);
  }

  #ready(socket: Socket<Dial>, protocol: ApplicationProtocol, peer: PeerIdentity | undefined): void {
    this.#settled = true;
    this.#timer.cancel();
    const { runtime, onConnected, onClosed } = this.options;
    let keepAlive: KeepAlive | undefined;
    const wire = new Wire(() => {
      keepAlive?.stop();
      onClosed();
    }, runtime.onBug);
    this.wire = wire;
    const codec = clientCodec(protocol, { output: wire, limits: runtime.limits });
    wire.attach(socket as Socket<unknown>, codec);
    // The application beside us needs no PING: loopback loses nobody, and its server may not like them.
    if (codec.probe !== undefined) {
      keepAlive = new KeepAlive({ runtime, wire, probe: codec.probe, pings: this.options.tls !== undefined });
    }
    onConnected(codec, wire, peer);
  }
}

function clientCodec(
  protocol: ApplicationProtocol,
  options: { readonly output: Wire; readonly limits: Limits },
): ClientConnection {
  switch (protocol) {
    case "h2":
      return new Http2ClientConnection(options);
    case "http/1.1":
      return new Http1ClientConnection(options);
    case "tcp":
      return new TcpClientConnection(options);
  }
}

const handlers: SocketHandler<Dial> = {
  open: (socket) => socket.data.opened(socket),
  handshake: (socket, success, error) => socket.data.handshaken(socket, success, error),
  data: (socket, chunk) => socket.data.wire?.received(chunk),
  drain: (socket) => socket.data.wire?.drainedSocket(),
  end(socket) {
    if (socket.data.wire === undefined) socket.data.fail("connection_closed_while_connecting");
    else socket.data.wire.receivedEnd();
  },
  close: (socket, error) => socket.data.closed(error),
  connectError: (socket, error) => socket.data.fail(connectFailure(error)),
  error(socket, error) {
    if (socket.data.wire === undefined) socket.data.fail("tls_handshake_failed");
    else socket.data.wire.failed(error);
  },
};

function connectFailure(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code.toLowerCase() : "connect_failed";
}

const peerAlpn = alpnProtocols("h2", "http/1.1");

/** Begins to connect; ends in exactly one of the callbacks. */
export function dial(options: DialOptions): void {
  const attempt = new Dial(options);
  const { address, tls } = options;
  const secure = tls && {
    cert: tls.identity.certificateChain,
    key: tls.identity.privateKey,
    ca: tls.identity.trustBundle,
    // The verdict is ours: the runtime would refuse every SVID for having no host name.
    rejectUnauthorized: false,
    minVersion: TLS_1_3,
    ALPNProtocols: peerAlpn,
    ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
  };
  Bun.connect<Dial>({
    hostname: address.host,
    port: address.port,
    allowHalfOpen: true,
    data: attempt,
    socket: handlers,
    ...(secure === undefined ? {} : { tls: secure }),
  }).catch((error: unknown) => attempt.fail(connectFailure(error)));
}
