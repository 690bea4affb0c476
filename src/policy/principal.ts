/** Whom an access rule names: `shop/web`, `shop/*`, `*`, `none`, or the SPIFFE IDs of another trust domain. */

import { isDnsLabel } from "./names.ts";

/** Every authenticated caller. */
export const ANY_CALLER = "*";
/** A caller that proved no identity. */
export const NO_IDENTITY = "none";

const SCHEME = "spiffe://";

/**
 * A pattern in the form that it has within a trust domain: `spiffe://mesh.local/ns/shop/sa/web` is `shop/web` to
 * those of `mesh.local`. What concerns other domains, or has no such form, stays as it is.
 */
export function localPrincipal(pattern: string, trustDomain: string): string {
  const own = `${SCHEME}${trustDomain}/`;
  if (!pattern.startsWith(own)) return pattern;
  const [ns, namespace = "", sa, service = "", ...rest] = pattern.slice(own.length).split("/");
  if (ns === "*" || (ns === "ns" && namespace === "*")) return ANY_CALLER;
  if (ns !== "ns" || !isDnsLabel(namespace) || rest.length > 0) return pattern;
  if (sa === "*" && service === "") return `${namespace}/*`;
  if (sa !== "sa" || (service !== "*" && !isDnsLabel(service))) return pattern;
  return `${namespace}/${service}`;
}

/** Whether a pattern is a SPIFFE ID, or the beginning of one. */
export function isSpiffePattern(pattern: string): boolean {
  return pattern.startsWith(SCHEME);
}
