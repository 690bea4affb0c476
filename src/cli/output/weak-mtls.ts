/** Where documents ask for less than strict mutual TLS, whichever kind of document and however deep. */

import { documentKey } from "../../policy/document-key.ts";
import type { PolicyDocument } from "../../policy/schema.ts";

const WEAK = new Set(["permissive", "disabled"]);

/** Such as `Mesh/_mesh/default spec.mtls is permissive`. */
export function weakMtls(documents: readonly PolicyDocument[]): string[] {
  return documents.flatMap((document) => {
    return weakPlaces(document.spec, "spec", false).map((place) => `${documentKey(document)} ${place}`);
  });
}

/** @param within the value stands below a field called `mtls` */
function weakPlaces(value: unknown, path: string, within: boolean): string[] {
  if (typeof value === "string") return within && WEAK.has(value) ? [`${path} is ${value}`] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]: [string, unknown]) => {
    const place = Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`;
    return weakPlaces(part, place, within || name === "mtls");
  });
}
