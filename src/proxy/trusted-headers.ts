/**
 * Headers that an application may believe, because only the sidecar beside it sets them. Whatever a caller says in them
 * is dropped, under every name that an application could take for one of theirs: CGI and its descendants (WSGI, Rack,
 * PHP) cannot tell `x_forwarded_client_cert` from `x-forwarded-client-cert`.
 */

import type { ServiceSnapshot } from "../projections/snapshot.ts";
import type { HeaderList, RequestHead } from "./codec/message.ts";
import { dropField, headerValue } from "./headers.ts";
import { claimHeaderNames, claimHeaders } from "./jwt/claim-headers.ts";
import type { ValidToken } from "./jwt/token-verifier.ts";
import type { Policy } from "./policy.ts";

/** Everything under this belongs to the mesh. */
const OWN_PREFIX = "x-heddle-";

const CLIENT_CERT = "x-forwarded-client-cert";

/** What a verified peer's sidecar says, and nobody else may: of a caller without an identity it is dropped as well. */
const PEER_FIELDS: ReadonlySet<string> = new Set([
  "x-request-id",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-envoy-attempt-count",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-upstream-rq-timeout-ms",
]);

/** Who called, as the connection proved it. */
export interface ProvenCaller {
  /** SPIFFE ID; undefined: none. */
  readonly principal: string | undefined;
  /** The valid token of the request; undefined: none. */
  readonly token: ValidToken | undefined;
  readonly requestId: string;
}

/** What is dropped of a request, by what its caller proved. */
export interface TrustedNames {
  readonly ofPeers: ReadonlySet<string>;
  readonly ofOthers: ReadonlySet<string>;
}

/** The names for one service, whose claims policy may pass on under names of its own. */
export function compileTrustedNames({ jwt }: ServiceSnapshot["inbound"]): TrustedNames {
  const ofPeers = new Set([CLIENT_CERT, ...(jwt === undefined ? [] : claimHeaderNames(jwt))]);
  return { ofPeers, ofOthers: ofPeers.union(PEER_FIELDS) };
}

/**
 * The head as the application gets it, its list changed in place. Envoy's form of the certificate's header: who
 * vouches, and for whom.
 */
export function trustedHead(head: RequestHead, { spiffeId, trustedNames }: Policy, caller: ProvenCaller): RequestHead {
  const { principal, token } = caller;
  const headers = withoutNames(head.headers, principal === undefined ? trustedNames.ofOthers : trustedNames.ofPeers);
  // What the edge of the mesh saw, a verified peer may pass on; two values would leave the choice to the application.
  if (headerValue(headers, "x-forwarded-proto") === undefined) headers.push("x-forwarded-proto", "http");
  if (principal === undefined) headers.push("x-request-id", caller.requestId);
  else headers.push(CLIENT_CERT, `By=${spiffeId};URI=${principal}`);
  if (token !== undefined) {
    headers.push(...claimHeaders(token));
    if (!token.provider.forward) dropField(headers, "authorization");
  }
  head.headers = headers;
  return head;
}

/** A copy without the fields that are, or may be taken for, one of the names. The same list where there is none. */
function withoutNames(headers: HeaderList, names: ReadonlySet<string>): HeaderList {
  let kept: HeaderList | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? "";
    const read = name.includes("_") ? name.replaceAll("_", "-") : name;
    if (names.has(read) || read.startsWith(OWN_PREFIX)) kept ??= headers.slice(0, at);
    else kept?.push(name, headers[at + 1] ?? "");
  }
  return kept ?? headers;
}
