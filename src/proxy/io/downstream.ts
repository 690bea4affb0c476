/**
 * One accepted connection: its socket, its codec, who is at the other end, and the three time limits that codecs, which
 * know no time, cannot keep themselves (on a head that never ends, on an idle connection, on the peer's certificate).
 */

import type { PeerIdentity } from "../../ca/workload/svid.ts";
import type { ServiceRef } from "../../policy/names.ts";
import { FAULTS } from "../codec/http1/fault.ts";
import { refusalText } from "../codec/http1/head-writer.ts";
import { Http1ServerConnection, type Http1ServerOptions } from "../codec/http1/server-connection.ts";
import { Http2ServerConnection } from "../codec/http2/server-connection.ts";
import type { AcceptStream, ConnectionInput, ServerConnection, StreamFault } from "../codec/message.ts";
import { TcpServerConnection } from "../codec/tcp/server-connection.ts";
import { alertOfStatus, alertRecord } from "../codec/tls/alert.ts";
import type { AccessPeer } from "../filters/access-input.ts";
import type { LimitMet } from "../limits.ts";
import type { Runtime } from "../runtime.ts";
import type { Address } from "./address.ts";
import { authorityOf } from "./address.ts";
import { type Detection, detect, type Expected } from "./detection.ts";
import { KeepAlive } from "./keep-alive.ts";
import { Timer } from "./timers.ts";
import type { ApplicationProtocol } from "./tls.ts";
import { Wire } from "./wire.ts";

export interface BoundService {
  readonly service: ServiceRef;
  /** `name.namespace.<trust domain>`. */
  readonly authority: string;
  /** Of the service; absent: its first. */
  readonly port?: number | undefined;
}

/** Where a connection was going before it was redirected to us. */
export interface Redirect {
  readonly destination: Address;
  /** The service that has an endpoint there; undefined: none that we may call. */
  readonly service: BoundService | undefined;
  /** What that service speaks; undefined: the first bytes say it, and what is no HTTP is carried as it is. */
  readonly protocol: ApplicationProtocol | undefined;
}

export interface DownstreamFacts extends AccessPeer {
  /** `address:port` of the peer. */
  readonly remoteAddress: string;
  /** SPIFFE ID of the verified peer. */
  readonly principal: string | undefined;
  /** All that its certificate says; when that ends, so does what the connection may be asked. */
  readonly peer?: PeerIdentity;
  /** The listener is for this one service, whatever a request's own authority says. */
  readonly boundTo?: BoundService | undefined;
  readonly redirect?: Redirect | undefined;
  /** The listener is for TLS that the called service ends: whom a connection is for, its server name says. */
  readonly byServerName?: boolean;
  /** The application speaks no HTTP: what comes in plaintext, and is not a sidecar's, is carried as it is. */
  readonly forTcp?: boolean;
  readonly scheme: "http" | "https";
}

/** What the owner of a listener does with each request of a connection. */
export interface RequestOwner {
  readonly accept: AcceptStream;
  /** A request that could not be read was refused; `status` is what was answered, if anything was. */
  readonly unreadable: (fault: StreamFault) => void;
}

export type AcceptRequest = (downstream: Downstream) => RequestOwner;

export class Downstream implements ConnectionInput {
  readonly wire: Wire;
  readonly #runtime: Runtime;
  readonly #accept: AcceptRequest;
  readonly #onLimit: LimitMet | undefined;
  readonly #watch: Timer;
  readonly #watchEveryMs: number;
  #codec: ServerConnection | undefined;
  #keepAlive: KeepAlive | undefined;
  #protocol: ApplicationProtocol | undefined;
  /** What the ClientHello said, in TLS that is carried as it is. */
  #hello: { readonly serverName: string | undefined } | undefined;
  #early: Uint8Array | undefined;
  /** Its first bytes were nothing that may come here; what follows is of no interest. */
  #refused = false;
  #draining = false;
  /** When the connection last did anything; when the head that is now incomplete began. */
  #activeMs: number;
  #headSinceMs: number | undefined;
  /** A head came to its end in the chunk at hand. */
  #headComplete = false;

  constructor(
    readonly facts: DownstreamFacts,
    runtime: Runtime,
    accept: AcceptRequest,
    onClosed: (downstream: Downstream) => void,
    onLimit?: LimitMet,
  ) {
    this.#runtime = runtime;
    this.#accept = accept;
    this.#onLimit = onLimit;
    this.#activeMs = runtime.monotonicMs();
    this.wire = new Wire(() => {
      this.#watch.cancel();
      this.#keepAlive?.stop();
      onClosed(this);
    }, runtime.onBug);
    const { headTimeoutMs, idleTimeoutMs } = runtime.limits;
    this.#watchEveryMs = Math.max(10, Math.min(headTimeoutMs, idleTimeoutMs) / 4);
    this.#watch = new Timer(() => this.#look());
    this.#lookLater();
  }

  /** The protocol is known: by ALPN or the destination before the first byte, else by `early`, all bytes so far. */
  speak(protocol: ApplicationProtocol, early?: Uint8Array): void {
    const owner = this.#accept(this);
    const accept: AcceptStream = (stream) => {
      this.#headComplete = true;
      return owner.accept(stream);
    };
    const options = { output: this.wire, limits: this.#runtime.limits, accept, scheme: this.facts.scheme };
    this.#protocol = protocol;
    switch (protocol) {
      case "h2":
        this.#codec = new Http2ServerConnection({
          ...options,
          unreadable: owner.unreadable,
          httpDate: this.#runtime.httpDate,
          peerIsVerified: this.facts.principal !== undefined,
        });
        break;
      case "http/1.1":
        this.#codec = http1Server(options, owner, this.#runtime.httpDate);
        break;
      case "tcp":
        this.#codec = new TcpServerConnection({
          ...options,
          authority: this.#tcpAuthority,
          refusal: this.#hello && (({ status }) => alertRecord(alertOfStatus(status))),
        });
    }
    const { probe } = this.#codec;
    if (probe !== undefined) {
      const onGivenUp: LimitMet = (limit) => this.#onLimit?.(limit);
      this.#keepAlive = new KeepAlive({ runtime: this.#runtime, wire: this.wire, probe, pings: true, onGivenUp });
    }
    if (this.#draining) this.#codec.drain();
    if (early !== undefined) this.#codec.receive(early);
  }

  /** Nothing told what the peer speaks, and nobody waits any longer: from now on its bytes are carried as they are. */
  speakRaw(): void {
    if (this.#codec !== undefined || this.wire.closed) return;
    const early = this.#early;
    this.#early = undefined;
    this.speak("tcp", early);
  }

  /** No new requests; ends when those under way have. Called again, it waits no longer for the peer to agree. */
  drain(): void {
    this.#draining = true;
    if (this.#codec === undefined) this.wire.end();
    else this.#codec.drain();
  }

  /** What is spoken on the connection; undefined until its first bytes told. */
  get protocol(): ApplicationProtocol | undefined {
    return this.#protocol;
  }

  /** The server name (SNI) in TLS that goes through unopened; undefined where there is none, or no such TLS. */
  get serverName(): string | undefined {
    return this.#hello?.serverName;
  }

  get openStreams(): number {
    return this.#codec?.openStreams ?? 0;
  }

  receive(chunk: Uint8Array): void {
    if (this.#refused) return;
    this.#headComplete = false;
    if (this.#codec === undefined) this.#detect(chunk);
    else this.#codec.receive(chunk);
    this.#noteActivity();
    // Only HTTP/1.1, or what may become it, can dwell in a head; HTTP/2 bounds its own, and TCP has none.
    const inHead = this.#protocol !== "h2" && this.#protocol !== "tcp" && this.openStreams === 0;
    if (this.#headComplete || !inHead) this.#headSinceMs = undefined;
    else this.#headSinceMs ??= this.#runtime.monotonicMs();
  }

  receiveEnd(): void {
    // What was said is all that will be: bytes that did not become a request are some other protocol's.
    if (this.#early !== undefined && this.#mayBeRaw) this.speakRaw();
    if (this.#codec === undefined) this.wire.end();
    else this.#codec.receiveEnd();
  }

  receiveClose(): void {
    this.#codec?.receiveClose();
  }

  drained(): void {
    this.#noteActivity();
    this.#codec?.drained();
  }

  /** An HTTP/2 connection is in use while it has streams: a PING and its answer are none. */
  #noteActivity(): void {
    if (this.#protocol === "h2" && !this.#headComplete && this.openStreams === 0) return;
    this.#activeMs = this.#runtime.monotonicMs();
  }

  #detect(chunk: Uint8Array): void {
    const bytes = this.#early === undefined ? chunk : Buffer.concat([this.#early, chunk]);
    const detection = detect(bytes, this.#expected, this.#runtime.limits, this.#runtime.httpDate());
    this.#early = detection.kind === "more" ? bytes : undefined;
    if (detection.kind === "speaks") {
      this.#hello = detection.hello;
      this.speak(detection.protocol, bytes);
    } else if (detection.kind === "refused") {
      this.#refuse(detection);
    }
  }

  #refuse({ fault, answer }: Extract<Detection, { kind: "refused" }>): void {
    this.#accept(this).unreadable(fault);
    this.#refused = true;
    this.wire.write(answer);
    this.wire.end();
  }

  get #expected(): Expected {
    if (this.facts.byServerName === true) return "tls";
    if (this.facts.forTcp === true) return "raw";
    return this.#mayBeRaw ? "any" : "http";
  }

  get #mayBeRaw(): boolean {
    const { redirect } = this.facts;
    return redirect !== undefined && redirect.protocol === undefined;
  }

  get #tcpAuthority(): string {
    const { boundTo, redirect } = this.facts;
    const service = boundTo ?? redirect?.service;
    const { serverName } = this;
    if (service !== undefined || redirect === undefined) return service?.authority ?? serverName ?? "";
    return serverName === undefined ? authorityOf(redirect.destination) : `${serverName}:${redirect.destination.port}`;
  }

  #look(): void {
    if (this.wire.closed) return;
    const { headTimeoutMs, idleTimeoutMs } = this.#runtime.limits;
    const nowMs = this.#runtime.monotonicMs();
    if (this.openStreams > 0) this.#activeMs = nowMs;
    else if (this.#headSinceMs !== undefined && nowMs - this.#headSinceMs > headTimeoutMs) this.#endHead();
    else if (nowMs - this.#activeMs > idleTimeoutMs) this.#endIdle();
    // What is under way was asked in time; for anything more the peer must show who it is now. Asked at every look,
    // since one that does not answer a drain is no longer waited for when it is asked again.
    if (this.#validForMs <= 0) this.drain();
    this.#lookLater();
  }

  #lookLater(): void {
    const validForMs = this.#validForMs;
    this.#runtime.timers.arm(
      this.#watch,
      validForMs > 0 ? Math.min(validForMs, this.#watchEveryMs) : this.#watchEveryMs,
    );
  }

  /** How much longer the peer's certificate vouches for it. */
  get #validForMs(): number {
    const { notAfterMs = Number.POSITIVE_INFINITY } = this.facts.peer ?? {};
    return notAfterMs - this.#runtime.wallMs();
  }

  /** Tells whoever dwells in a head that it took too long (RFC 9110 §15.5.9); one that was told is no longer waited for. */
  #endHead(): void {
    const codec = this.#codec;
    if (this.#refused || (codec !== undefined && codec.giveUpHead?.() !== true)) {
      this.wire.destroy();
      return;
    }
    this.#onLimit?.("headTimeoutMs");
    if (codec !== undefined) return;
    const answer = this.#expected === "tls" ? "" : refusalText(FAULTS.headTimeout, this.#runtime.httpDate());
    this.#refuse({ kind: "refused", fault: FAULTS.headTimeout, answer });
  }

  /** Asks an idle peer to leave; one that was asked and did not answer is no longer waited for. */
  #endIdle(): void {
    if (this.#draining) this.wire.destroy();
    else {
      this.#onLimit?.("idleTimeoutMs");
      this.drain();
    }
  }
}

/** Tells the owner of what is refused before there is a stream; later faults reach the stream's own listener. */
function http1Server(options: Http1ServerOptions, owner: RequestOwner, httpDate: () => string): Http1ServerConnection {
  const codec = new Http1ServerConnection({
    ...options,
    refusal(fault) {
      if (codec.activity === "head") owner.unreadable(fault);
      return refusalText(fault, httpDate());
    },
  });
  return codec;
}
