/** What a call may bring beside its method and path, as far as access rules ask for it. */

import { canonicalJson } from "../policy/canonical.ts";
import type { AccessConditions, ClaimCondition, HeaderMatch, SnapshotAccessRule } from "../projections/snapshot.ts";
import type { AskedRequest } from "./called-side.ts";

/** One thing that a call may bring along. */
export interface ProbeContext {
  /** Empty for a call that brings nothing. */
  readonly name: string;
  readonly headers: NonNullable<AskedRequest["headers"]>;
  readonly facts: NonNullable<AskedRequest["facts"]>;
}

export const PLAIN: ProbeContext = { name: "", headers: [], facts: {} };

/** Beyond these, an answer says nothing of what calls bring along: who has more such rules than this reads them. */
const CONTEXTS_MAX = 64;

/** The plain call; then for each rule that asks for more, a call that brings it, and ones that bring what it shuns. */
export function contextsOf(rules: Iterable<SnapshotAccessRule>): ProbeContext[] {
  const found = new Map<string, ProbeContext>([[textOf(PLAIN), PLAIN]]);
  for (const rule of rules) {
    for (const context of [wanted(rule), ...shunned(rule)]) {
      if (found.size < CONTEXTS_MAX) found.set(textOf(context), context);
    }
  }
  return [...found.values()];
}

function textOf({ headers, facts }: ProbeContext): string {
  return canonicalJson({ headers, facts });
}

/** All that the rule asks for together. */
function wanted({ headers = {}, ipBlocks, ports, sni, when = [] }: SnapshotAccessRule): ProbeContext {
  const parts = [
    ...Object.entries(headers).map(([name, match]) => ofHeader(name, match)),
    ...ofFirst(ipBlocks, ofAddress),
    ...ofFirst(ports, ofPort),
    ...ofFirst(sni, ofServerName),
    ...when.flatMap((condition) => ofFirst(condition.values, (value) => ofClaim(condition, value))),
  ];
  return parts.reduce(together, PLAIN);
}

function shunned({ notHeaders = {}, notIpBlocks, notPorts, notSni, when = [] }: SnapshotAccessRule): ProbeContext[] {
  return [
    ...Object.entries(notHeaders).map(([name, match]) => ofHeader(name, match)),
    ...ofFirst(notIpBlocks, ofAddress),
    ...ofFirst(notPorts, ofPort),
    ...ofFirst(notSni, ofServerName),
    ...when.flatMap((condition) => ofFirst(condition.notValues, (value) => ofClaim(condition, value))),
  ];
}

function together(a: ProbeContext, b: ProbeContext): ProbeContext {
  const claims = { ...a.facts.claims, ...b.facts.claims };
  return {
    name: [a.name, b.name].filter((name) => name !== "").join(", "),
    headers: [...a.headers, ...b.headers],
    facts: { ...a.facts, ...b.facts, ...(Object.keys(claims).length === 0 ? {} : { claims }) },
  };
}

function ofFirst<T>(values: readonly T[] | undefined, context: (value: T) => ProbeContext): ProbeContext[] {
  const [first] = values ?? [];
  return first === undefined ? [] : [context(first)];
}

function ofHeader(name: string, match: HeaderMatch): ProbeContext {
  if ("present" in match && !match.present) return PLAIN;
  const value = "present" in match ? "x" : (Object.values(match)[0] ?? "x");
  return { ...PLAIN, name: `header ${name}: ${value}`, headers: [name, value] };
}

function ofAddress(block: string): ProbeContext {
  return { ...PLAIN, name: `an address of ${block}`, facts: { ip: block.split("/")[0] ?? block } };
}

function ofPort(port: number): ProbeContext {
  return { ...PLAIN, name: `port ${port}`, facts: { port } };
}

function ofServerName(name: string): ProbeContext {
  return { ...PLAIN, name: `server name ${name}`, facts: { serverName: name.replace(/^\*\./, "any.") } };
}

function ofClaim({ claim }: ClaimCondition, value: string): ProbeContext {
  const path = typeof claim === "string" ? [claim] : claim;
  const text = value.endsWith("*") ? `${value.slice(0, -1)}any` : value;
  const claims = path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), text);
  return { ...PLAIN, name: `claim ${path.join(".")}=${value}`, facts: { claims: claims as Record<string, unknown> } };
}

/** Paths that a rule names in one way or another, gRPC methods among them. */
export function namedPaths({ paths = [], notPaths = [], grpc = [], notGrpc = [] }: AccessConditions): string[] {
  const calls = [...grpc, ...notGrpc].flatMap(({ service, methods = ["*"] }) =>
    methods.map((method) => `/${service}/${method}`),
  );
  return [...paths, ...notPaths, ...calls];
}
