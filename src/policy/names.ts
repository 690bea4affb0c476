/**
 * Names of namespaces, services and documents. They are DNS labels (RFC 1123 §2.1), and therefore NATS subject
 * tokens, SPIFFE path segments and KV keys as they stand: no encoding anywhere.
 */

/** A service as the rest of the mesh names it: `namespace/name`. */
export type ServiceRef = `${string}/${string}`;

/** A document as commands name it: `Kind/namespace/name`; the Mesh lives in the namespace `_mesh`. */
export type DocumentKey = `${string}/${string}/${string}`;

/** The pseudo-namespace of what is mesh-wide: the Mesh document, operators, roots. No service can be called so. */
export const MESH_NAMESPACE = "_mesh";

/** One DNS label: lower case, digits, inner hyphens, at most 63 bytes. */
export const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** SPIFFE trust domain (SPIFFE-ID §2.1): `[a-z0-9.-_]`, at most 255 bytes. */
export const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/** Whether a text can name a namespace, a service or a document. */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text);
}

/** Joins `namespace/name`. */
export function serviceRef(namespace: string, name: string): ServiceRef {
  return `${namespace}/${name}`;
}

/** Splits `namespace/name`; undefined when it is not exactly two DNS labels. */
export function parseServiceRef(text: string): { namespace: string; name: string } | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const namespace = text.slice(0, slash);
  const name = text.slice(slash + 1);
  return isDnsLabel(namespace) && isDnsLabel(name) ? { namespace, name } : undefined;
}

/** The SPIFFE ID of a service: `spiffe://<trust-domain>/ns/<namespace>/sa/<service>`. */
export function spiffeId(trustDomain: string, namespace: string, service: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${service}`;
}
