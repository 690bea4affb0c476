/** Claims as headers for the application, where policy asks for it. */

import type { SnapshotJwt } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import type { ValidToken } from "./token-verifier.ts";

/** Longest value that is passed on, in characters. */
const VALUE_LENGTH_MAX = 4_096;

/** The headers in which an application gets claims: whatever a caller says in them is dropped. */
export function claimHeaderNames({ providers }: SnapshotJwt): string[] {
  return [...new Set(providers.flatMap(({ claimHeaders }) => Object.keys(claimHeaders)))];
}

/**
 * Texts, numbers and truth values, in printable ASCII; a claim that is anything else is left out, since every way to
 * flatten it can be read in two ways.
 */
export function claimHeaders({ claims, provider }: ValidToken): HeaderList {
  return Object.entries(provider.claimHeaders).flatMap(([header, name]) => {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return [];
    const text = String(value);
    return text.length <= VALUE_LENGTH_MAX && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)
      ? [header, text]
      : [];
  });
}
