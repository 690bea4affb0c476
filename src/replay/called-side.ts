/** What the sidecars of a called service make of a call that reaches them, whoever makes it. */

import type { MeshState } from "../events/state.ts";
import { type ServiceRef, serviceRef } from "../policy/names.ts";
import { type ServiceName, trustDomainOf } from "../projections/call-graph.ts";
import { closedSnapshot, compileCalledSide, compileSnapshot } from "../projections/compile-snapshot.ts";
import type { CalledSnapshot, ServiceSnapshot } from "../projections/snapshot.ts";
import { type Access, compileAccess, type Decision } from "../proxy/filters/access.ts";
import type { AccessPeer, AccessRequest } from "../proxy/filters/access-input.ts";
import type { Claims } from "../proxy/filters/claims.ts";
import { isPlaintext } from "../proxy/mtls.ts";
import { portOf, protocolOf, type ServicePort } from "../proxy/service-port.ts";
import { isOutsider, type Outsider, ownService, type Source, sourceText } from "./source.ts";

/** What access rules may ask of a call beside the request itself. What is left out is not there. */
export interface CallFacts {
  /** Address of the caller. */
  readonly ip?: string | undefined;
  /** The server name that it asks for (SNI); absent: the one that sidecars ask for, and none of outsiders. */
  readonly serverName?: string | undefined;
  /** Of the called service; absent: its first. */
  readonly port?: number | undefined;
  /** Of the end user's valid token; absent: the call bears none. */
  readonly claims?: Claims | undefined;
  /** Of the instance that calls. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Of no range that anybody would name: who leaves the address out is not found in any. */
const NO_ADDRESS = "0.0.0.0";

/** A request as the called side is asked about it. */
export interface AskedRequest {
  readonly method: string;
  /** The normalised path. */
  readonly target: string;
  /** Absent: the full name of the service. */
  readonly authority?: string;
  readonly headers?: AccessRequest["headers"];
  readonly facts?: CallFacts | undefined;
}

/**
 * Why the called side refuses a call.
 * - `foreign`: the caller is of a trust domain that is not trusted.
 * - `plaintext`: the caller proves no identity, and the port takes mutual TLS alone; `no_tls`: it takes none.
 * - `protocol`: requests for a port of TCP, or a connection for one of requests.
 * - `revoked`: one of the two is believed no longer.
 * - `no_token`: the service asks for an end user's token, and the call bears none.
 * - `denied`: its access rules refuse it.
 */
export type Refusal = "foreign" | "plaintext" | "no_tls" | "protocol" | "revoked" | "no_token" | "denied";

export interface Arrival {
  /** Undefined: the call gets to the application. */
  readonly obstacle: Refusal | undefined;
  /** What access rules say; undefined where they are not asked. */
  readonly access: Decision | undefined;
}

export interface Inbound {
  readonly snapshot: CalledSnapshot;
  readonly access: Access;
}

/** The called sides of one state of the mesh; what is compiled for one call serves the next. */
export class CalledSides {
  readonly #state: MeshState;
  readonly #declared: ReadonlySet<ServiceRef>;
  readonly #inbound = new Map<ServiceRef, Inbound>();
  readonly #peers = new Map<string, AccessPeer>();

  constructor(state: MeshState, declared: ReadonlySet<ServiceRef>) {
    this.#state = state;
    this.#declared = declared;
  }

  /** What the called side makes of a call that reaches it. */
  arrival(source: Source, destination: ServiceName, request: AskedRequest): Arrival {
    const { ports, jwt } = this.inbound(destination).snapshot.inbound;
    const isTcp = request.method === "CONNECT";
    const port = portOf(ports, isTcp, request.facts?.port);
    if (isTcp !== (protocolOf(port) === "tcp")) return { obstacle: "protocol", access: undefined };
    const stranger = isOutsider(source) ? this.#strangeness(source, ports, port) : undefined;
    if (stranger !== undefined) return { obstacle: stranger, access: undefined };
    const decision = this.accessOf(source, destination, request);
    if (decision === undefined) return { obstacle: "revoked", access: undefined };
    if (jwt?.required === true && request.facts?.claims === undefined) {
      return { obstacle: "no_token", access: undefined };
    }
    return { obstacle: decision.allowed ? undefined : "denied", access: decision };
  }

  /** What keeps somebody out before any rule is asked; undefined: nothing. */
  #strangeness({ caller }: Outsider, ports: readonly ServicePort[], port: ServicePort): Refusal | undefined {
    if (caller === undefined) return port.mtls === undefined ? "plaintext" : undefined;
    if (!this.#state.federation.has(caller.trustDomain ?? "")) return "foreign";
    return isPlaintext(ports) ? "no_tls" : undefined;
  }

  /**
   * What the called side alone makes of a request: its access rules, and whether the two may meet at all. Undefined
   * where they may not.
   */
  accessOf(
    from: Source,
    destination: ServiceName,
    { method, target, authority, headers = [], facts = {} }: AskedRequest,
  ): Decision | undefined {
    const source = ownService(from, trustDomainOf(this.#state));
    if (!isOutsider(source) && !this.#declared.has(refOf(source))) return undefined;
    if (!this.#declared.has(refOf(destination))) return undefined;
    const { snapshot, access } = this.inbound(destination);
    const { ports, jwt } = snapshot.inbound;
    const called = portOf(ports, method === "CONNECT", facts.port);
    const isRefused = isOutsider(source)
      ? this.#strangeness(source, ports, called) !== undefined
      : isRevoked(snapshot, source);
    if (isRefused || isRevoked(snapshot, destination)) return undefined;
    // Where no tokens are validated, rules find no claims.
    const claims = jwt === undefined ? undefined : facts.claims;
    const peer = this.#peerOf(source, destination, isPlaintext(ports), facts);
    return access(peer, {
      method,
      target,
      authority: authority ?? authorityOf(destination, facts.port),
      headers,
      port: called.port,
      isTcp: called.protocol === "tcp",
      claims,
    });
  }

  /** The rules that decide about calls of a service, as its sidecars compile them. */
  inbound(service: ServiceName): Inbound {
    const known = this.#inbound.get(refOf(service));
    if (known !== undefined) return known;
    const snapshot = compileCalledSide(this.#state, service);
    const inbound = { snapshot, access: compileAccess(snapshot.inbound) };
    this.#inbound.set(refOf(service), inbound);
    return inbound;
  }

  /** One object for each: verdicts are remembered by it. */
  #peerOf(source: Source, destination: ServiceName, isPlain: boolean, facts: CallFacts): AccessPeer {
    const { ip = NO_ADDRESS } = facts;
    const caller = isPlain ? undefined : callerOf(source);
    // Sidecars ask for the service under its full name; without TLS there is nowhere to ask.
    const usual = isOutsider(source)
      ? undefined
      : `${authorityOf(destination, undefined)}.${trustDomainOf(this.#state)}`;
    const serverName = caller === undefined ? undefined : (facts.serverName ?? usual);
    const key = `${caller && sourceText(source)} ${ip} ${serverName}`;
    const peer = this.#peers.get(key) ?? { caller, ip, serverName };
    this.#peers.set(key, peer);
    return peer;
  }
}

/** As the service's sidecars have it. */
export function snapshotOf(state: MeshState, service: ServiceName): ServiceSnapshot {
  return compileSnapshot(state, service) ?? closedSnapshot(state, service);
}

/** `namespace/name`. */
export function refOf({ namespace, name }: ServiceName): ServiceRef {
  return serviceRef(namespace, name);
}

/** The authority under which the service is called from anywhere in the mesh. */
export function authorityOf({ namespace, name }: ServiceName, port: number | undefined): string {
  return port === undefined ? `${name}.${namespace}` : `${name}.${namespace}:${port}`;
}

function callerOf(source: Source): AccessPeer["caller"] {
  return isOutsider(source) ? source.caller : { namespace: source.namespace, service: source.name };
}

function isRevoked({ revocations = [] }: CalledSnapshot, { namespace, name }: ServiceName): boolean {
  return revocations.some((entry) => entry.whole && entry.namespace === namespace && entry.name === name);
}
