/**
 * Requests that stand for all requests. Access rules tell requests apart by what they name and by nothing else, so one
 * request for each thing that is named, and one for everything else, answer for every request there can be.
 */

import type { SnapshotAccessRule } from "../projections/snapshot.ts";
import { normalisePattern } from "../proxy/route/path.ts";
import { contextsOf, namedPaths, PLAIN, type ProbeContext } from "./probe-contexts.ts";

/** One value of a dimension, and what it is called. */
export interface Probe {
  /** `*` for whatever no rule names. */
  readonly name: string;
  /** What the decision is asked with. */
  readonly value: string;
}

export interface Probes {
  readonly methods: readonly Probe[];
  readonly paths: readonly Probe[];
  readonly contexts: readonly ProbeContext[];
}

/** What no rule names: a rule can hold any method or path, and nobody writes these. */
const OTHER_METHOD = "X-HEDDLE-ANY-OTHER";
const OTHER_SEGMENT = "x-heddle-any-other";
const ANY = "*";

/** One probe for each method and path pattern that the rules name, and one for all others. */
export function probesOf(rules: Iterable<SnapshotAccessRule>): Probes {
  const all = [...rules];
  const methods = new Set<string>();
  const paths = new Set<string>();
  for (const rule of all) {
    for (const method of [...(rule.methods ?? []), ...(rule.notMethods ?? [])]) methods.add(method);
    // A gRPC call is a POST (gRPC over HTTP/2, "Requests").
    if (rule.grpc !== undefined || rule.notGrpc !== undefined) methods.add("POST");
    for (const path of namedPaths(rule)) paths.add(path);
  }
  return {
    methods: [...[...methods].sort().map(named), { name: ANY, value: OTHER_METHOD }],
    paths: [...[...paths].sort().map(pathProbe), { name: ANY, value: `/${OTHER_SEGMENT}` }],
    contexts: contextsOf(all),
  };
}

function named(name: string): Probe {
  return { name, value: name };
}

function pathProbe(pattern: string): Probe {
  const value = pattern.replace(/\{[^}/]*\}|\*\*?/g, OTHER_SEGMENT);
  return { name: pattern, value: normalisePattern(value) };
}

/** Calls of one kind: each of the methods on each of the paths; `*` is whatever the probes do not name. */
export interface CallSet {
  readonly methods: readonly string[];
  readonly paths: readonly string[];
  /** What such a call brings along; absent: nothing. */
  readonly with?: string;
  /** These, of all the calls that bring nothing, it is not when they bring that along. */
  readonly except?: true;
}

type Holds = (method: string, path: string, context: ProbeContext) => boolean;

/**
 * The calls for which `holds`, as few sets as their rows allow. Of what calls bring along, only the difference that it
 * makes is told.
 */
export function callSets({ methods, paths, contexts }: Probes, holds: Holds): CallSet[] {
  const plain = rowsOf(methods, paths, (method, path) => holds(method, path, PLAIN));
  const others = contexts
    .filter(({ name }) => name !== "")
    .flatMap((context) => {
      const more = rowsOf(
        methods,
        paths,
        (method, path) => holds(method, path, context) && !holds(method, path, PLAIN),
      );
      const fewer = rowsOf(
        methods,
        paths,
        (method, path) => !holds(method, path, context) && holds(method, path, PLAIN),
      );
      return [
        ...more.map((set): CallSet => ({ ...set, with: context.name })),
        ...fewer.map((set): CallSet => ({ ...set, with: context.name, except: true })),
      ];
    });
  return [...plain, ...others];
}

function rowsOf(
  methods: readonly Probe[],
  paths: readonly Probe[],
  holds: (method: string, path: string) => boolean,
): CallSet[] {
  const rows = new Map<string, { methods: string[]; paths: string[] }>();
  for (const path of paths) {
    const held = methods.filter((method) => holds(method.value, path.value)).map(({ name }) => name);
    if (held.length === 0) continue;
    const row = rows.get(held.join(" "));
    if (row === undefined) rows.set(held.join(" "), { methods: held, paths: [path.name] });
    else row.paths.push(path.name);
  }
  return [...rows.values()];
}

/** `POST /charge`, `GET on any path`, `any method on any path but /admin`, `any call`. */
export function describeCalls(set: CallSet, probes: Probes): string {
  const what = describeRows(set, probes);
  if (set.with === undefined) return what;
  return set.except === true ? `but not ${what} with ${set.with}` : `${what} with ${set.with}`;
}

function describeRows({ methods, paths }: CallSet, probes: Probes): string {
  const how = worded(methods, probes.methods, "any method");
  const where = worded(paths, probes.paths, "any path");
  if (how === "any method" && where === "any path") return "any call";
  return paths.includes(ANY) ? `${how} on ${where}` : `${how} ${where}`;
}

/** What no rule names comes with all that some rule names but the exceptions. */
function worded(names: readonly string[], all: readonly Probe[], any: string): string {
  if (!names.includes(ANY)) return names.join(", ");
  const left = all.map(({ name }) => name).filter((name) => !names.includes(name));
  return left.length === 0 ? any : `${any} but ${left.join(", ")}`;
}
