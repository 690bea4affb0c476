/** How a command line names documents: `route`, `svc/orders`, `Route/shop/catalog`. */

import { keyOf, POLICY_KINDS, parseDocumentKey } from "../../policy/document-key.ts";
import { type DocumentKey, MESH_NAMESPACE } from "../../policy/names.ts";
import { nearest } from "../../policy/nearest.ts";
import { err, ok, type Result } from "../../policy/result.ts";
import type { PolicyKind } from "../../policy/schema.ts";

/** Beside the kind's own name, in any case. */
const OTHER_NAMES: Readonly<Record<PolicyKind, readonly string[]>> = {
  Mesh: ["meshes"],
  Service: ["services", "svc"],
  Route: ["routes", "rt"],
  AccessPolicy: ["accesspolicies", "ap"],
  RateLimit: ["ratelimits", "rl"],
};

const KINDS_BY_NAME: ReadonlyMap<string, PolicyKind> = new Map(
  POLICY_KINDS.flatMap((kind) => [kind.toLowerCase(), ...OTHER_NAMES[kind]].map((name) => [name, kind] as const)),
);

/** Which documents are meant; what is absent is not restricted. */
export interface DocumentSelection {
  readonly kind?: PolicyKind;
  readonly namespace?: string;
  readonly name?: string;
}

/** A kind by its name or short name, in any case. The error proposes the nearest. */
export function parseKind(text: string): Result<PolicyKind, string> {
  const kind = KINDS_BY_NAME.get(text.toLowerCase());
  if (kind !== undefined) return ok(kind);
  const meant = nearest(text, KINDS_BY_NAME.keys());
  const advice = meant === undefined ? `there are ${POLICY_KINDS.join(", ")}` : `did you mean ${meant}?`;
  return err(`${JSON.stringify(text)} is no kind of document; ${advice}`);
}

/** Reads the arguments of `get`: none, `KIND`, `KIND NAME`, `KIND/NAME` or `KIND/NAMESPACE/NAME`. */
export function parseSelection(args: readonly string[]): Result<DocumentSelection, string> {
  const [first, second, ...more] = args;
  if (first === undefined) return ok({});
  const parts = first.split("/");
  if (second !== undefined) parts.push(...second.split("/"));
  const [kindText = "", ...path] = parts;
  if (more.length > 0 || path.length > 2 || path.includes("")) {
    return err(`name documents as KIND, KIND/NAME or KIND/NAMESPACE/NAME, not ${JSON.stringify(args.join(" "))}`);
  }
  const kind = parseKind(kindText);
  if (!kind.ok) return kind;
  const [name, namespace] = path.toReversed();
  return ok({
    kind: kind.value,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
  });
}

/** Reads one document's name, `KIND/NAMESPACE/NAME`, or `KIND/NAME` where a namespace is given beside it. */
export function parseKeyArgument(text: string, namespace: string | undefined): Result<DocumentKey, string> {
  const selection = parseSelection([text]);
  if (!selection.ok) return selection;
  const { kind, name } = selection.value;
  const within = kind === "Mesh" ? MESH_NAMESPACE : (selection.value.namespace ?? namespace);
  if (kind === undefined || name === undefined || within === undefined) {
    return err(`${JSON.stringify(text)} names no document; write KIND/NAMESPACE/NAME, such as Route/shop/catalog`);
  }
  const key = keyOf(kind, within, name);
  return parseDocumentKey(key) === undefined ? err(`${JSON.stringify(text)} cannot name a document`) : ok(key);
}
