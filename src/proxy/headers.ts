/** Small operations on flat header lists. */

import type { HeaderList, RequestHead } from "./codec/message.ts";

/** The first value of a field; `name` in lower case. */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
  return undefined;
}

/** Takes a field out of the list itself; true where it was there. */
export function dropField(headers: HeaderList, name: string): boolean {
  const { length } = headers;
  for (let at = length - 2; at >= 0; at -= 2) if (headers[at] === name) headers.splice(at, 2);
  return headers.length < length;
}

/** A copy without the fields that `drop` names. The same list where none of them stands in it. */
export function withoutFields(headers: HeaderList, drop: ReadonlySet<string>): HeaderList {
  let kept: HeaderList | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (drop.has(name)) kept ??= headers.slice(0, at);
    else kept?.push(name, headers[at + 1] as string);
  }
  return kept ?? headers;
}

/** A CONNECT that asks for a TCP connection, and not (RFC 8441) for a protocol on top of the request's own. */
export function asksForTcp(request: RequestHead): boolean {
  return request.method === "CONNECT" && request.upgrade === undefined;
}
