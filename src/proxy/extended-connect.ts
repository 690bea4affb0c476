/** Extended CONNECT, as everything behind the codec reads it. */

import { isProtocol } from "./codec/http1/grammar.ts";
import type { RequestHead, ResponseHead } from "./codec/message.ts";
import { dropField, headerValue } from "./headers.ts";
import type { DownstreamFacts as Facts } from "./io/downstream.ts";

/** Between sidecars: the 2xx that has this is an ordinary response. */
const DECLINED = "x-heddle-upgrade-declined";
/** Between sidecars: what the `Upgrade` of a 426 says, for which HTTP/2 has no field (RFC 9113 §8.2.2). */
const REQUIRED = "x-heddle-upgrade-required";

/**
 * Extended CONNECT (RFC 8441) is HTTP/2's way to say GET with `Upgrade`: rules are written for the latter, and
 * applications mostly know no other. The key of a WebSocket, which HTTP/2 leaves out, is made up where it is missing.
 */
export function takeExtendedConnect(head: RequestHead, protocol: string): void {
  head.method = "GET";
  head.contentLength = 0;
  if (protocol !== "websocket" || headerValue(head.headers, "sec-websocket-key") !== undefined) return;
  head.headers.push("sec-websocket-key", crypto.getRandomValues(Buffer.alloc(16)).toString("base64"));
}

/**
 * Reads the answer to a request with `upgrade`. Over HTTP/2 a switch of protocols is agreed to with any 2xx (RFC 8441
 * §5), but over HTTP/1.1 an application may pass over the wish and answer as if there were none (RFC 9110 §7.8): what
 * was not a 101 there is marked on its way.
 * The protocols that a 426 asks for, which may answer any request, are carried over such a hop as well.
 * @param client who asked; only sidecars have a principal.
 */
export function settleUpgrade(request: RequestHead, response: ResponseHead, client: Pick<Facts, "principal">): void {
  const toSidecar = request.version === "2" && client.principal !== undefined;
  if (response.status === 426) carryRequired(response, toSidecar);
  if (request.upgrade === undefined) return;
  const declined = dropField(response.headers, DECLINED);
  if (!isSuccess(response.status)) return;
  if (response.version === "2" && !declined) response.status = 101;
  else declineUpgrade(request, response, client);
}

/**
 * Keeps an ordinary response to a request with `upgrade` from being taken for consent: sidecars know the mark, and
 * other HTTP/2 clients get a status other than 2xx.
 */
export function declineUpgrade(request: RequestHead, response: ResponseHead, client: Pick<Facts, "principal">): void {
  if (request.version !== "2" || request.upgrade === undefined || !isSuccess(response.status)) return;
  if (client.principal === undefined) response.status = 501;
  else response.headers.push(DECLINED, "true");
}

/** Without it, the caller could not know what to do (RFC 9110 §15.5.22). */
function carryRequired(response: ResponseHead, toSidecar: boolean): void {
  const { headers } = response;
  const said = headerValue(headers, REQUIRED);
  dropField(headers, REQUIRED);
  if (response.version === "2") response.upgrade = isListOfProtocols(said) ? said : undefined;
  else if (toSidecar && response.upgrade !== undefined) headers.push(REQUIRED, response.upgrade);
}

/** It becomes a field of the connection's own, so that it is read as strictly as one. */
function isListOfProtocols(text: string | undefined): boolean {
  return text?.split(", ").every(isProtocol) === true;
}

/** RFC 9110 §15.3; to CONNECT, a switch to the other protocol. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
