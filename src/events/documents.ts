/** Policy documents out of the state: what `get` shows, `apply` compares with and `rollback` returns to. */

import { compareDocumentNames, type DocumentName, keyOf, parseDocumentKey } from "../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../policy/names.ts";
import {
  type AccessPolicySpec,
  API_VERSION,
  type PolicyDocument,
  type PolicyKind,
  type RouteSpec,
} from "../policy/schema.ts";
import {
  type AccessPolicyState,
  EMPTY_NAMESPACE,
  type MeshState,
  type NamespaceState,
  type Origin,
  type RouteState,
} from "./state.ts";

/** A document as the mesh holds it. */
export interface StatedDocument {
  readonly key: DocumentKey;
  readonly document: PolicyDocument;
  /** The last change that touched any part of it; its rules may be older. */
  readonly origin: Origin;
}

export interface DocumentFilter {
  /** `_mesh` for the Mesh document. */
  readonly namespace?: string;
  readonly kind?: PolicyKind;
  /** Only documents about this service (its own document included), by name within its namespace. */
  readonly service?: string;
}

/** The documents of the mesh in a fixed order: namespace (`_mesh` first), kind, name. */
export function documentsOf(state: MeshState, filter: DocumentFilter = {}): StatedDocument[] {
  const names =
    filter.namespace === undefined ? new Set([MESH_NAMESPACE, ...state.namespaces.keys()]) : [filter.namespace];
  const found: (StatedDocument & { readonly name: DocumentName })[] = [];
  for (const namespace of names) {
    for (const name of documentNames(state, namespace)) {
      if (filter.kind !== undefined && filter.kind !== name.kind) continue;
      const stated = documentNamed(state, name);
      if (stated === undefined) continue;
      if (filter.service !== undefined && serviceOfDocument(stated.document) !== filter.service) continue;
      found.push({ ...stated, name });
    }
  }
  found.sort((a, b) => compareDocumentNames(a.name, b.name));
  return found.map(({ key, document, origin }) => ({ key, document, origin }));
}

/** One document by its key; undefined when the mesh has none of that name, or the text is no key. */
export function documentAt(state: MeshState, key: string): StatedDocument | undefined {
  const name = parseDocumentKey(key);
  return name === undefined ? undefined : documentNamed(state, name);
}

/** The service, within the document's own namespace, that a document is about; undefined for the Mesh. */
export function serviceOfDocument(document: PolicyDocument): string | undefined {
  if (document.kind === "Mesh") return undefined;
  return document.kind === "Service" ? document.metadata.name : document.spec.service;
}

/** One document by its parts of the name. */
export function documentNamed(state: MeshState, name: DocumentName): StatedDocument | undefined {
  const key = keyOf(name.kind, name.namespace, name.name);
  if (name.kind === "Mesh") {
    if (state.mesh === undefined || name.name !== "default") return undefined;
    const { value: spec, origin } = state.mesh;
    return { key, origin, document: { apiVersion: API_VERSION, kind: "Mesh", metadata: { name: "default" }, spec } };
  }
  const inNamespace = state.namespaces.get(name.namespace) ?? EMPTY_NAMESPACE;
  const found = namespacedDocument(inNamespace, name.kind, { namespace: name.namespace, name: name.name });
  return found === undefined ? undefined : { key, ...found };
}

function namespacedDocument(
  state: NamespaceState,
  kind: Exclude<PolicyKind, "Mesh">,
  metadata: { namespace: string; name: string },
): Omit<StatedDocument, "key"> | undefined {
  const { name } = metadata;
  switch (kind) {
    case "Service": {
      const service = state.services.get(name);
      if (service === undefined) return undefined;
      return { document: { apiVersion: API_VERSION, kind, metadata, spec: service.value }, origin: service.origin };
    }
    case "Route": {
      const route = state.routes.get(name);
      if (route === undefined) return undefined;
      return { document: { apiVersion: API_VERSION, kind, metadata, spec: routeSpecOf(route) }, origin: route.origin };
    }
    case "AccessPolicy": {
      const policy = state.accessPolicies.get(name);
      if (policy === undefined) return undefined;
      return {
        document: { apiVersion: API_VERSION, kind, metadata, spec: policySpecOf(policy) },
        origin: policy.origin,
      };
    }
    case "RateLimit": {
      const limit = state.rateLimits.get(name);
      if (limit === undefined) return undefined;
      return { document: { apiVersion: API_VERSION, kind, metadata, spec: limit.value }, origin: limit.origin };
    }
  }
}

function routeSpecOf(route: RouteState): RouteSpec {
  return { ...specOf(route), ...(route.precedence === undefined ? {} : { precedence: route.precedence }) };
}

function policySpecOf(policy: AccessPolicyState): AccessPolicySpec {
  return {
    ...specOf(policy),
    ...(policy.default === undefined ? {} : { default: policy.default }),
    ...(policy.dryRun === undefined ? {} : { dryRun: policy.dryRun }),
  };
}

function specOf<S extends RouteState | AccessPolicyState>(
  state: S,
): { service: string; rules: S["rules"][number]["value"][] } {
  return { service: state.service, rules: state.rules.map((rule) => rule.value) };
}

function* documentNames(state: MeshState, namespace: string): Generator<DocumentName> {
  if (namespace === MESH_NAMESPACE) yield { kind: "Mesh", namespace, name: "default" };
  const { services, routes, accessPolicies, rateLimits } = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  for (const name of services.keys()) yield { kind: "Service", namespace, name };
  for (const name of routes.keys()) yield { kind: "Route", namespace, name };
  for (const name of accessPolicies.keys()) yield { kind: "AccessPolicy", namespace, name };
  for (const name of rateLimits.keys()) yield { kind: "RateLimit", namespace, name };
}
