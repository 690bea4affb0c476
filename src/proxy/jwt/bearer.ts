/** Where a request carries its token: `Authorization: Bearer` (RFC 6750 §2.1), and nowhere else. */

import { err, ok, type Result } from "../../policy/result.ts";
import type { HeaderList } from "../codec/message.ts";
import type { TokenFault } from "./token-fault.ts";

/** Longest token that is looked at, in characters; headers in the common limits of servers hold no longer ones. */
const TOKEN_LENGTH_MAX = 8_192;

/** Three parts of base64url (RFC 7515 §7.1). */
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const BEARER = /^bearer(?: +|$)/i;

/** The token; undefined where there is none. Other schemes are not ours to judge. */
export function bearerToken(headers: HeaderList): Result<string | undefined, TokenFault> {
  let found: string | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at] !== "authorization") continue;
    // Of two, the application might take the other one.
    if (found !== undefined) return err("malformed");
    found = headers[at + 1] ?? "";
  }
  const scheme = found === undefined ? undefined : BEARER.exec(found)?.[0];
  if (found === undefined || scheme === undefined) return ok(undefined);
  const token = found.slice(scheme.length);
  return token.length <= TOKEN_LENGTH_MAX && COMPACT_JWS.test(token) ? ok(token) : err("malformed");
}
