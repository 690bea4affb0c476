/** How commands, problems and history name a document: `Kind/namespace/name`. */

import { type DocumentKey, isDnsLabel, MESH_NAMESPACE } from "./names.ts";
import type { PolicyDocument, PolicyKind } from "./schema.ts";

/** In the order in which a reader wants them: what exists, where calls go, who may call, how often. */
export const POLICY_KINDS = ["Mesh", "Service", "Route", "AccessPolicy", "RateLimit"] as const satisfies PolicyKind[];

export interface DocumentName {
  readonly kind: PolicyKind;
  readonly namespace: string;
  readonly name: string;
}

/** The Mesh belongs to the pseudo-namespace `_mesh`. */
export function documentNamespace(document: PolicyDocument): string {
  return document.kind === "Mesh" ? MESH_NAMESPACE : document.metadata.namespace;
}

/** The key of a document. */
export function documentKey(document: PolicyDocument): DocumentKey {
  return keyOf(document.kind, documentNamespace(document), document.metadata.name);
}

/** The key of such a document, whether there is one or not. */
export function keyOf(kind: PolicyKind, namespace: string, name: string): DocumentKey {
  return `${kind}/${namespace}/${name}`;
}

/** Splits `Kind/namespace/name`; undefined when it cannot name any document. */
export function parseDocumentKey(text: string): DocumentName | undefined {
  const [kindText, namespace, name, ...rest] = text.split("/");
  const kind = POLICY_KINDS.find((known) => known === kindText);
  if (kind === undefined || namespace === undefined || name === undefined || rest.length > 0) return undefined;
  if (!isDnsLabel(name)) return undefined;
  const belongs = kind === "Mesh" ? namespace === MESH_NAMESPACE : isDnsLabel(namespace);
  return belongs ? { kind, namespace, name } : undefined;
}

/** Order of documents: namespaces by name (`_mesh` first), then kinds as listed above, then names. */
export function compareDocumentNames(a: DocumentName, b: DocumentName): number {
  if (a.namespace !== b.namespace) {
    if (a.namespace === MESH_NAMESPACE) return -1;
    if (b.namespace === MESH_NAMESPACE) return 1;
    return a.namespace < b.namespace ? -1 : 1;
  }
  if (a.kind !== b.kind) return POLICY_KINDS.indexOf(a.kind) - POLICY_KINDS.indexOf(b.kind);
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
