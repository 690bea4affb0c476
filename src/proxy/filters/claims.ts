/** What a validated end-user token says, and the conditions of access rules on it. */

import type { ClaimCondition } from "../../projections/snapshot.ts";

/** The payload of a token whose signature, issuer, audience and times have been verified. */
export type Claims = Readonly<Record<string, unknown>>;

/** Undefined: the request carried no valid token. */
export type ClaimPredicate = (claims: Claims | undefined) => boolean;

/** All conditions hold together. */
export function compileClaims(conditions: readonly ClaimCondition[]): ClaimPredicate {
  const compiled = conditions.map(compileClaim);
  return (claims) => compiled.every((holds) => holds(claims));
}

/** The name of the claim that a condition asks for, for people. */
export function claimName({ claim }: ClaimCondition): string {
  return typeof claim === "string" ? claim : claim.join(".");
}

function compileClaim({ claim, values, notValues }: ClaimCondition): ClaimPredicate {
  const path = typeof claim === "string" ? [claim] : claim;
  const wanted = values?.map(compileValue);
  const unwanted = notValues?.map(compileValue);
  return (claims) => {
    const present = claims === undefined ? [] : claimTexts(claims, path);
    const has = (predicates: readonly ((text: string) => boolean)[]): boolean =>
      present.some((text) => predicates.some((matches) => matches(text)));
    return (wanted === undefined || has(wanted)) && (unwanted === undefined || !has(unwanted));
  };
}

function compileValue(value: string): (text: string) => boolean {
  if (!value.endsWith("*")) return (text) => text === value;
  const prefix = value.slice(0, -1);
  return (text) => text.startsWith(prefix);
}

/**
 * The values of a claim as texts: each item of a list is one, and so is each word of a scope (RFC 8693 §4.2, which is one
 * text with spaces between). What is an object itself is no value.
 */
export function claimTexts(claims: Claims, path: readonly string[]): string[] {
  const value = claimAt(claims, path);
  const isScope = path.length === 1 && (path[0] === "scope" || path[0] === "scp");
  if (isScope && typeof value === "string") return value.split(" ").filter((word) => word !== "");
  return (Array.isArray(value) ? value : [value]).flatMap((item) => textOf(item) ?? []);
}

function claimAt(claims: Claims, path: readonly string[]): unknown {
  let current: unknown = claims;
  for (const name of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, name)) return undefined;
    current = Reflect.get(current, name);
  }
  return current;
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}
