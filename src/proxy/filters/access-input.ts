/** What access is decided by: who calls, over which connection, and what is asked. */

import { type ServiceRef, serviceRef, spiffeId } from "../../policy/names.ts";
import type { HeaderList } from "../codec/message.ts";
import type { Claims } from "./claims.ts";

/** The verified peer, from the SPIFFE ID of its certificate. */
export interface Caller {
  readonly namespace: string;
  readonly service: string;
  /** Of a federated trust domain; absent: our own. */
  readonly trustDomain?: string;
}

/** What a connection shows. Keep one object per connection: verdicts are remembered by it. */
export interface AccessPeer {
  /** Undefined: no verified certificate. */
  readonly caller: Caller | undefined;
  /** Address at the other end of the connection, without its port. */
  readonly ip: string;
  /** The server name that the peer asked for (SNI); undefined: none. */
  readonly serverName?: string | undefined;
}

export interface AccessRequest {
  /** As received. */
  readonly method: string;
  /** The normalised path, with or without its query. */
  readonly target: string;
  readonly authority: string;
  readonly headers: HeaderList;
  /** The port of the Service that is called. */
  readonly port: number;
  /** A connection of which nothing is known but its port. */
  readonly isTcp?: boolean;
  /** Of a validated token; undefined: the request carries none. */
  readonly claims?: Claims | undefined;
}

/** `namespace/service` of a caller; its SPIFFE ID where it is of another trust domain. */
export function callerRef({ namespace, service, trustDomain }: Caller): ServiceRef {
  return trustDomain === undefined
    ? serviceRef(namespace, service)
    : (spiffeId(trustDomain, namespace, service) as ServiceRef);
}
