/** How a command line names services and callers. */

import { parseIdentity } from "../../ca/workload/spiffe-id.ts";
import { parseServiceRef } from "../../policy/names.ts";
import { ANY_CALLER, NO_IDENTITY } from "../../policy/principal.ts";
import { NOBODY, type Source } from "../../replay/source.ts";
import { UsageError } from "../failure.ts";

/** Reads `shop/catalog`, or `catalog` where a namespace is given beside it. Throws `UsageError`. */
export function parseServiceArgument(
  text: string,
  namespace: string | undefined,
): { readonly namespace: string; readonly name: string } {
  const service = parseServiceRef(qualified(text, namespace));
  if (service !== undefined) return service;
  throw new UsageError(`${JSON.stringify(text)} names no service; write NAMESPACE/NAME, such as shop/catalog`);
}

/** Reads who calls: a service as above, `none` for somebody without an identity, or a SPIFFE ID. Throws `UsageError`. */
export function parseSourceArgument(text: string, namespace: string | undefined): Source {
  if (text === NO_IDENTITY) return NOBODY;
  if (!text.startsWith("spiffe://")) return parseServiceArgument(text, namespace);
  const identity = parseIdentity(text);
  if (!identity.ok) throw new UsageError(`${JSON.stringify(text)} is nobody's identity: ${identity.error}`);
  return { caller: identity.value };
}

/** Reads callers as access rules name them: `shop/web`, `shop/*`, `*`, `none`, several with commas between. */
export function parseCallers(text: string, namespace: string | undefined): string[] {
  return text.split(",").map((caller) => {
    return caller === ANY_CALLER || caller === NO_IDENTITY ? caller : qualified(caller, namespace);
  });
}

function qualified(text: string, namespace: string | undefined): string {
  return text.includes("/") || namespace === undefined ? text : `${namespace}/${text}`;
}
