/**
 * What a schema cannot see: documents that contradict one another or the mesh that they enter. Pure and without
 * positions, since the control plane runs the same checks on commands; `lint.ts` adds files and lines for people.
 */

import { checkAccessRule, checkJwt } from "./check-access.ts";
import { checkExternal, checkExternalRule } from "./check-external.ts";
import { checkMatchedPaths } from "./check-paths.ts";
import { checkRouteRule } from "./check-route.ts";
import { documentKey } from "./document-key.ts";
import { parseDuration } from "./duration.ts";
import { type DocumentKey, parseServiceRef, type ServiceRef, serviceRef } from "./names.ts";
import { nearest } from "./nearest.ts";
import type { DocumentPath } from "./remark.ts";
import { type PolicyDocument, partsOf, type RouteMatch, type RouteRule, type ServiceSpec } from "./schema.ts";

/** The weight of a backend that names none, so that `[{subset: v1}, {subset: v2}]` shares evenly. */
export const BACKEND_WEIGHT_DEFAULT = 1;

/** The mesh as it stands before the documents are applied. */
export interface KnownMesh {
  service(namespace: string, name: string): ServiceSpec | undefined;
  /** The routes in force for a service. */
  routes(namespace: string, service: string): readonly KnownRoute[];
}

export interface KnownRoute {
  /** Name of the Route document. */
  readonly name: string;
  readonly rules: readonly RouteRule[];
}

/** A mesh in which nothing has been declared. */
export const EMPTY_MESH: KnownMesh = { service: () => undefined, routes: () => [] };

/** Something said about one place in one document. */
export interface Finding {
  readonly key: DocumentKey;
  readonly path: DocumentPath;
  readonly message: string;
}

/** Findings by severity: only errors keep documents from being applied. */
export interface CheckResult {
  /** The documents must not be applied. */
  readonly errors: readonly Finding[];
  /** Allowed, and probably not meant. */
  readonly warnings: readonly Finding[];
}

type ServiceDocument = Extract<PolicyDocument, { kind: "Service" }>;
type RouteDocument = Extract<PolicyDocument, { kind: "Route" }>;
type AccessPolicyDocument = Extract<PolicyDocument, { kind: "AccessPolicy" }>;
type RateLimitDocument = Extract<PolicyDocument, { kind: "RateLimit" }>;
type TargetedDocument = Exclude<PolicyDocument, { kind: "Mesh" | "Service" }>;
type Say = (document: PolicyDocument, path: DocumentPath, message: string) => void;

/**
 * Checks documents against one another and against the mesh that they would change. A document in the list replaces
 * what the mesh knows under the same key. Findings come in the order of the documents.
 */
export function checkDocuments(documents: readonly PolicyDocument[], known: KnownMesh): CheckResult {
  const check = new Check(documents, known);
  for (const document of documents) check.document(document);
  return { errors: check.errors, warnings: check.warnings };
}

class Check {
  readonly errors: Finding[] = [];
  readonly warnings: Finding[] = [];
  readonly #keys = new Set<DocumentKey>();
  readonly #seen = new Set<DocumentKey>();
  readonly #services = new Map<ServiceRef, ServiceSpec>();
  /** Name of the first Route document for each service. */
  readonly #routed = new Map<ServiceRef, string>();

  constructor(
    documents: readonly PolicyDocument[],
    private readonly known: KnownMesh,
  ) {
    for (const document of documents) {
      this.#keys.add(documentKey(document));
      if (document.kind === "Service") {
        this.#services.set(serviceRef(document.metadata.namespace, document.metadata.name), document.spec);
      }
    }
  }

  readonly #error: Say = (document, path, message) => {
    this.errors.push({ key: documentKey(document), path, message });
  };

  readonly #warn: Say = (document, path, message) => {
    this.warnings.push({ key: documentKey(document), path, message });
  };

  document(document: PolicyDocument): void {
    const key = documentKey(document);
    if (this.#seen.has(key)) this.#error(document, [], `${key} is declared twice`);
    this.#seen.add(key);
    if (document.kind === "Service") this.#service(document);
    else if (document.kind === "Route") this.#route(document);
    else if (document.kind === "AccessPolicy") this.#accessPolicy(document);
    else if (document.kind === "RateLimit") this.#rateLimit(document);
  }

  #rateLimit(document: RateLimitDocument): void {
    for (const [index, rule] of document.spec.rules.entries()) {
      this.#matchedPaths(document, ["spec", "rules", index], rule);
    }
    if (this.#target(document)?.external === undefined) return;
    this.#error(
      document,
      ["spec", "service"],
      "is another mesh's: the called side counts, and so it is for them to limit",
    );
  }

  #matchedPaths(document: PolicyDocument, path: DocumentPath, { match }: Pick<RouteRule, "match">): void {
    for (const remark of checkMatchedPaths(match, [...path, "match"])) {
      this.#warn(document, remark.path, remark.message);
    }
  }

  #find(namespace: string, name: string): ServiceSpec | undefined {
    return this.#services.get(serviceRef(namespace, name)) ?? this.known.service(namespace, name);
  }

  /** The service that a document is about; says so when there is none. */
  #target(document: TargetedDocument): ServiceSpec | undefined {
    const { namespace } = document.metadata;
    const { service } = document.spec;
    const spec = this.#find(namespace, service);
    if (spec !== undefined) return spec;
    const meant = nearest(service, namesIn(namespace, this.#services.keys()));
    const advice = meant === undefined ? "declare it in a Service document" : `did you mean ${meant}?`;
    this.#error(document, ["spec", "service"], `there is no service ${serviceRef(namespace, service)}; ${advice}`);
    return undefined;
  }

  #service(document: ServiceDocument): void {
    const ports = new Set<number>();
    for (const [index, { port }] of document.spec.ports.entries()) {
      if (ports.has(port)) this.#error(document, ["spec", "ports", index, "port"], `port ${port} is listed twice`);
      ports.add(port);
    }
    for (const { path, message } of checkExternal(document.spec)) this.#error(document, path, message);
    const tokens = checkJwt(document.spec);
    for (const { path, message } of tokens.errors) this.#error(document, path, message);
    for (const { path, message } of tokens.warnings) this.#warn(document, path, message);
    const { namespace, name } = document.metadata;
    this.#failover(document);
    for (const route of this.known.routes(namespace, name)) {
      if (this.#keys.has(`Route/${namespace}/${route.name}`)) continue;
      for (const subset of missingSubsets(route.rules, document.spec)) {
        const message = `subset ${subset} is gone, and Route/${namespace}/${route.name} still sends traffic to it; change the route first or in the same apply`;
        this.#error(document, ["spec", "subsets"], message);
      }
    }
  }

  /** A fallback that does not exist would be noticed only in the outage that it is meant for. */
  #failover(document: ServiceDocument): void {
    const { failover } = document.spec.loadBalancer ?? {};
    if (failover === undefined) return;
    const { namespace, name } = document.metadata;
    const meant = parseServiceRef(failover) ?? { namespace, name: failover };
    const path = ["spec", "loadBalancer", "failover"];
    if (meant.namespace === namespace && meant.name === name) this.#error(document, path, "is the service itself");
    else if (this.#find(meant.namespace, meant.name) === undefined) {
      this.#warn(document, path, `there is no service ${serviceRef(meant.namespace, meant.name)}`);
    }
  }

  #route(document: RouteDocument): void {
    this.#soleRoute(document);
    const target = this.#target(document);
    const { rules, precedence } = document.spec;
    const catchAll = precedence === undefined ? rules.findIndex(matchesEverything) : -1;
    for (const [index, rule] of rules.entries()) {
      const path = ["spec", "rules", index];
      if (catchAll >= 0 && index > catchAll) {
        this.#warn(document, path, `is never reached: rules[${catchAll}] already takes every request`);
      }
      checkBackends(document, path, rule, this.#error, this.#warn);
      if (target !== undefined) this.#destinations(document, path, rule, target);
      checkTimeouts(document, path, rule, this.#warn);
      const own = checkRouteRule(rule, path);
      for (const { path: at, message } of own.errors) this.#error(document, at, message);
      for (const { path: at, message } of own.warnings) this.#warn(document, at, message);
      if (target !== undefined) checkMatchedPorts(document, path, rule, target, this.#warn);
      this.#matchedPaths(document, path, rule);
    }
  }

  /** Where a rule sends requests, and copies of them: services and subsets that there are. */
  #destinations(
    document: RouteDocument,
    path: DocumentPath,
    { backends = [], mirror }: RouteRule,
    own: ServiceSpec,
  ): void {
    const named = backends.map((backend, index) => ({ ...backend, at: [...path, "backends", index] }));
    for (const { service, subset, at } of mirror === undefined
      ? named
      : [...named, { ...mirror, at: [...path, "mirror"] }]) {
      const [namespace, name] = namesOf(service, document);
      const spec = service === undefined ? own : this.#find(namespace, name);
      if (spec === undefined) {
        // Those of other namespaces may be declared later, and by others.
        const say = namespace === document.metadata.namespace ? this.#error : this.#warn;
        say(document, [...at, "service"], `there is no service ${serviceRef(namespace, name)}`);
        continue;
      }
      const names = Object.keys(spec.subsets ?? {});
      if (subset === undefined || names.includes(subset)) continue;
      const advice = names.length === 0 ? "the service declares none" : `there are: ${names.join(", ")}`;
      this.#error(document, [...at, "subset"], `there is no subset ${subset}; ${advice}`);
    }
  }

  /** Two routes for one service would have no order between their rules. */
  #soleRoute(document: RouteDocument): void {
    const { namespace, name } = document.metadata;
    const ref = serviceRef(namespace, document.spec.service);
    const inForce = this.known.routes(namespace, document.spec.service);
    const other =
      this.#routed.get(ref) ?? inForce.find((route) => !this.#keys.has(`Route/${namespace}/${route.name}`))?.name;
    if (other === undefined) {
      this.#routed.set(ref, name);
    } else if (other !== name) {
      const message = `${ref} already has Route/${namespace}/${other}; put the rules of both into one Route`;
      this.#error(document, ["spec", "service"], message);
    }
  }

  #accessPolicy(document: AccessPolicyDocument): void {
    const target = this.#target(document);
    if (target?.external !== undefined && document.spec.dryRun === true) {
      this.#error(
        document,
        ["spec", "dryRun"],
        "cannot be tried out: nobody here decides about calls of another mesh's service",
      );
    }
    for (const [index, rule] of document.spec.rules.entries()) {
      if (target !== undefined) {
        const errors = target.external === undefined ? [] : checkExternalRule(rule, ["spec", "rules", index]);
        for (const { path, message } of errors) this.#error(document, path, message);
        const warnings = checkAccessRule(rule, ["spec", "rules", index], target);
        for (const { path, message } of warnings) this.#warn(document, path, message);
      }
      const { action, conditions } = partsOf(rule);
      for (const [position, pattern] of (conditions.from ?? []).entries()) {
        const caller = parseServiceRef(pattern);
        if (caller === undefined || this.#find(caller.namespace, caller.name) !== undefined) continue;
        const meant = nearest(caller.name, namesIn(caller.namespace, this.#services.keys()));
        const advice =
          meant === undefined ? "the rule has no effect until it is" : `did you mean ${caller.namespace}/${meant}?`;
        const path = ["spec", "rules", index, action, "from", position];
        this.#warn(document, path, `${pattern} is not declared; ${advice}`);
      }
    }
  }
}

function checkBackends(document: PolicyDocument, path: DocumentPath, rule: RouteRule, error: Say, warn: Say): void {
  const { backends } = rule;
  if (backends === undefined) return;
  const listed = new Set<string>();
  for (const [index, { service, subset }] of backends.entries()) {
    const part = subset === undefined ? "the whole service" : `subset ${subset}`;
    const what = service === undefined ? part : `${part} of ${service}`;
    if (listed.has(what)) error(document, [...path, "backends", index], `${what} is listed twice; add up the weights`);
    listed.add(what);
  }
  if (backends.every(({ weight }) => weight === 0)) {
    error(document, [...path, "backends"], "all weights are 0, so no request has anywhere to go");
  }
  const bare = backends.findIndex(({ weight }) => weight === undefined);
  if (bare >= 0 && backends.some(({ weight }) => weight !== undefined)) {
    const message = `has no weight and counts as ${BACKEND_WEIGHT_DEFAULT} beside backends that have one; give each a weight`;
    warn(document, [...path, "backends", bare], message);
  }
}

function checkTimeouts(document: PolicyDocument, path: DocumentPath, rule: RouteRule, warn: Say): void {
  const perTryTimeout = rule.retries?.perTryTimeout;
  if (perTryTimeout === undefined || rule.timeout === undefined) return;
  if ((parseDuration(perTryTimeout) ?? 0) <= (parseDuration(rule.timeout) ?? 0)) return;
  const message = `${perTryTimeout} is longer than the rule's timeout of ${rule.timeout}, which ends the request first`;
  warn(document, [...path, "retries", "perTryTimeout"], message);
}

function checkMatchedPorts(
  document: PolicyDocument,
  path: DocumentPath,
  rule: RouteRule,
  to: ServiceSpec,
  warn: Say,
): void {
  const known = to.ports.map(({ port }) => port);
  for (const [index, { ports = [] }] of (rule.match ?? []).entries()) {
    for (const [position, port] of ports.entries()) {
      if (known.includes(port)) continue;
      const message = `the service has no port ${port}; it has ${known.join(", ")}`;
      warn(document, [...path, "match", index, "ports", position], message);
    }
  }
}

/** Whether no request can pass this rule by. */
function matchesEverything(rule: RouteRule): boolean {
  return rule.match === undefined || rule.match.some(isUnconditional);
}

function isUnconditional({ path, ...others }: RouteMatch): boolean {
  const anyPath = path === undefined || ("prefix" in path && path.prefix === "/");
  // Maps without entries say nothing; lists always have some.
  return anyPath && Object.values(others).every((said) => said === undefined || Object.keys(said).length === 0);
}

/** Namespace and name of a backend's service; that of the route itself where it names none. */
function namesOf(service: string | undefined, { metadata, spec }: RouteDocument): [namespace: string, name: string] {
  const [first = spec.service, second] = service?.split("/") ?? [];
  return second === undefined ? [metadata.namespace, first] : [first, second];
}

/** The subsets that rules send traffic to and that a service does not have, each once. */
function missingSubsets(rules: readonly RouteRule[], spec: ServiceSpec): Set<string> {
  const missing = new Set<string>();
  const destinations = rules.flatMap(({ backends = [], mirror }) =>
    mirror === undefined ? backends : [...backends, mirror],
  );
  for (const { service, subset } of destinations) {
    if (service === undefined && subset !== undefined && !Object.hasOwn(spec.subsets ?? {}, subset))
      missing.add(subset);
  }
  return missing;
}

function namesIn(namespace: string, refs: Iterable<ServiceRef>): string[] {
  const prefix = `${namespace}/`;
  return Array.from(refs, (ref) => (ref.startsWith(prefix) ? ref.slice(prefix.length) : "")).filter(
    (name) => name !== "",
  );
}
