/** The least access policy that covers calls that there really were. */

import type { MeshState } from "../events/state.ts";
import { MESH_NAMESPACE } from "../policy/names.ts";
import { API_VERSION, type PolicyDocument, policyDocument } from "../policy/schema.ts";
import { policiesOf, type ServiceName } from "../projections/call-graph.ts";
import { ANY_PATH, ANY_SEGMENT } from "../telemetry/path-template.ts";
import { refOf } from "./called-side.ts";
import type { ObservedCalls } from "./traffic-table.ts";

export interface Suggestion {
  /** Undefined where nothing was seen that a rule could allow. */
  readonly document: PolicyDocument | undefined;
  /** Calls that no rule is suggested for: their caller or their path is not known. */
  readonly uncovered: readonly ObservedCalls[];
}

interface SuggestedRule {
  readonly from: readonly string[];
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
}

/** For calls to the service that were let through; with `denied`, for those as well that rules refused. */
export function suggestAccess(
  state: MeshState,
  service: ServiceName,
  calls: Iterable<ObservedCalls>,
  { denied = false }: { readonly denied?: boolean } = {},
): Suggestion {
  const own = [...calls].filter(({ destination, decisions }) => {
    const seen = (decisions.allowed ?? 0) + (decisions.limited ?? 0) + (denied ? (decisions.denied ?? 0) : 0);
    return destination === refOf(service) && seen > 0;
  });
  const [covered, uncovered] = [own.filter(isNameable), own.filter((observed) => !isNameable(observed))];
  const bySource = Map.groupBy(covered, ({ source }) => source ?? "");
  const rules = joinCallers([...bySource].flatMap(([source, seen]) => rulesFor(source, seen)));
  if (rules.length === 0) return { document: undefined, uncovered };
  const metadata = { namespace: service.namespace, name: policyName(state, service) };
  const spec = { service: service.name, default: "deny", rules: rules.map((allow) => ({ allow })) };
  return {
    document: policyDocument.parse({ apiVersion: API_VERSION, kind: "AccessPolicy", metadata, spec }),
    uncovered,
  };
}

/** One that the service has alone is replaced; otherwise another one beside them, under a name that is free. */
function policyName(state: MeshState, service: ServiceName): string {
  const own = policiesOf(state, service);
  const [only] = own;
  if (only !== undefined && own.length === 1) return only.name;
  const taken = state.namespaces.get(service.namespace)?.accessPolicies;
  const names = [service.name, `${service.name}-observed`.slice(-63).replace(/^-+/, "")];
  return names.find((name) => taken?.has(name) !== true) ?? `${service.name}-observed-2`;
}

/** What rules can be about: a caller with an identity, and a path that is known and can be written as a pattern. */
function isNameable({ source, method, path }: ObservedCalls): boolean {
  if (source === null || source.startsWith(`${MESH_NAMESPACE}/`)) return false;
  if (path === "") return method === "CONNECT";
  return path !== ANY_PATH && method !== ANY_PATH && patternOf(path) !== undefined;
}

/** Longest pattern with a wildcard. */
const PATTERN_LENGTH_MAX = 256;

function patternOf(template: string): string | undefined {
  const pattern = template.replaceAll(ANY_SEGMENT, "{id}");
  const isPattern = pattern.startsWith("/") && !template.includes("*") && pattern.length <= PATTERN_LENGTH_MAX;
  return isPattern ? pattern : undefined;
}

/** For one caller: methods that were seen on the same paths share a rule. */
function rulesFor(source: string, seen: readonly ObservedCalls[]): SuggestedRule[] {
  if (seen.some(({ path }) => path === "")) return [{ from: [source] }];
  const byMethod = Map.groupBy(seen, ({ method }) => method);
  const byPaths = Map.groupBy(byMethod, ([, calls]) => pathsOf(calls).join("\n"));
  return [...byPaths.values()].map((group) => ({
    from: [source],
    methods: group.map(([method]) => method).sort(),
    paths: pathsOf(group.flatMap(([, calls]) => calls)),
  }));
}

function pathsOf(calls: readonly ObservedCalls[]): string[] {
  return [...new Set(calls.map(({ path }) => patternOf(path) ?? path))].sort();
}

/** Callers of the same calls share a rule. */
function joinCallers(rules: readonly SuggestedRule[]): SuggestedRule[] {
  const groups = Map.groupBy(rules, ({ methods, paths }) => JSON.stringify([methods, paths]));
  return [...groups.values()].flatMap(([first, ...rest]) => {
    if (first === undefined) return [];
    return [{ ...first, from: [first, ...rest].flatMap(({ from }) => from).sort() }];
  });
}
