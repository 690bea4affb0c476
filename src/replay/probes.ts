/**
 * Requests that stand for all requests. Access rules tell requests apart by what they name and by nothing else, so one
 * request for each thing that is named, and one for everything else, answer for every request there can be.
 */

import type { SnapshotAccessRule } from "../projections/snapshot.ts";
import { normalisePattern } from "../proxy/route/path.ts";

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
}

/** What no rule names: a rule can hold any method or path, and nobody writes these. */
const OTHER_METHOD = "X-HEDDLE-ANY-OTHER";
const OTHER_SEGMENT = "x-heddle-any-other";
const ANY = "*";

/** One probe for each method and path pattern that the rules name, and one for all others. */
export function probesOf(rules: Iterable<SnapshotAccessRule>): Probes {
  const methods = new Set<string>();
  const paths = new Set<string>();
  for (const rule of rules) {
    for (const method of rule.methods ?? []) methods.add(method);
    for (const path of rule.paths ?? []) paths.add(path);
  }
  return {
    methods: [...[...methods].sort().map(named), { name: ANY, value: OTHER_METHOD }],
    paths: [...[...paths].sort().map(pathProbe), { name: ANY, value: `/${OTHER_SEGMENT}` }],
  };
}

function named(name: string): Probe {
  return { name, value: name };
}

function pathProbe(pattern: string): Probe {
  const value = pattern.endsWith("*") ? `${pattern.slice(0, -1)}${OTHER_SEGMENT}` : pattern;
  return { name: pattern, value: normalisePattern(value) };
}

/** Calls of one kind: each of the methods on each of the paths; `*` is whatever the probes do not name. */
export interface CallSet {
  readonly methods: readonly string[];
  readonly paths: readonly string[];
}

/** The pairs of method and path for which `holds`, as few sets as their rows allow. */
export function callSets({ methods, paths }: Probes, holds: (method: string, path: string) => boolean): CallSet[] {
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
export function describeCalls({ methods, paths }: CallSet, probes: Probes): string {
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
