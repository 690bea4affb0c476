import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalJson } from "../../src/policy/canonical.ts";
import { formatDuration } from "../../src/policy/duration.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { formatProblem } from "../../src/policy/problems.ts";
import { renderDocument, renderDocuments, renderInline } from "../../src/policy/render.ts";
import { type PolicyDocument, RETRY_CONDITIONS } from "../../src/policy/schema.ts";

describe("renderInline", () => {
  test.each([
    [{ from: ["shop/web"], methods: ["GET"] }, "{ from: [shop/web], methods: [GET] }"],
    [["5xx", "/admin/*", "*", "shop/*"], '[5xx, /admin/*, "*", shop/*]'],
    [
      ["1.20", "1e3", "0x10", "12", "1-2", "", "a b", "a: b", "#"],
      '["1.20", "1e3", "0x10", "12", "1-2", "", "a b", "a: b", "#"]',
    ],
    [{ yes: "on", null: "NULL", on: true }, '{ "yes": "on", "null": "NULL", on: true }'],
    [{}, "{}"],
    [[], "[]"],
  ])("%j", (value, text) => {
    expect(renderInline(value)).toBe(text);
  });
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
/** Anything but lone surrogates, which UTF-8 cannot carry. */
const text = fc.string({ unit: "binary", maxLength: 12 });
const someText = fc.oneof(
  text,
  fc.constantFrom("yes", "on", "~", "null", "0x1F", ".inf", "1_000", "- a", "<<", "a: b #c", "\u0085\u2028\uFEFF"),
);
const duration = fc.integer({ min: 1, max: 1e9 }).map(formatDuration);
const absolutePath = someText.map((tail) => `/${tail}`);
const method = fc.constantFrom("GET", "POST", "M-SEARCH");
const list = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { minLength: 1, maxLength: 4 });
/** A record whose fields may all be left out. */
const some = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { requiredKeys: [] });

const stringMatch = fc.oneof(
  fc.record({ exact: someText }),
  fc.record({ prefix: someText.filter((prefix) => prefix !== "") }),
  fc.record({ present: fc.boolean() }),
);
const requestMatch = some({
  path: fc.oneof(fc.record({ exact: absolutePath }), fc.record({ prefix: absolutePath })),
  methods: list(method),
  headers: fc.dictionary(
    fc.stringMatching(/^[a-z0-9_.!#$%&'*+^`|~-]{1,9}$/).filter((name) => name !== "__proto__"),
    stringMatch,
  ),
});
const retries = fc.record(
  {
    attempts: fc.integer({ min: 0, max: 10 }),
    perTryTimeout: duration,
    on: list(fc.constantFrom(...RETRY_CONDITIONS.filter((name) => name !== "retriable-status-codes"))),
    backoff: fc.constantFrom({ base: "10ms", max: "1s" }, { base: "50ms" }, { max: "2s" }),
    budget: fc.record({ percent: fc.double({ min: 1e-9, max: 100, noNaN: true }), minPerSecond: fc.nat(1000) }),
  },
  { requiredKeys: ["attempts"] },
);
const routeRule = some({
  match: list(requestMatch),
  backends: list(some({ subset: label, weight: fc.nat(1000) })),
  timeout: duration,
  idleTimeout: duration,
  retries,
});
const callers = some({
  from: list(
    fc.oneof(
      fc.tuple(label, fc.oneof(label, fc.constant("*"))).map((parts) => parts.join("/")),
      fc.constant("*"),
    ),
  ),
  methods: list(method),
  paths: list(absolutePath.map((path) => path.replaceAll("*", "")).chain((path) => fc.constantFrom(path, `${path}*`))),
});
const labels = fc.dictionary(
  someText.filter((name) => name !== "" && name !== "__proto__"),
  someText,
);
const serviceSpec = fc.record(
  {
    ports: list(
      fc.record({
        port: fc.integer({ min: 1, max: 65_535 }),
        protocol: fc.constantFrom("http", "http2", "grpc", "tcp"),
      }),
    ),
    subsets: fc.dictionary(label, labels),
    loadBalancer: fc.oneof(
      some({ algorithm: fc.constantFrom("round-robin", "peak-ewma", "random"), slowStart: duration, failover: label }),
      fc.record({
        algorithm: fc.constantFrom("ring-hash", "maglev"),
        hash: fc.constantFrom({ header: "x-user" }, { cookie: "Session" }, { source: true as const }),
      }),
    ),
    connectionPool: some({
      maxConnections: fc.integer({ min: 1, max: 1e9 }),
      maxRequests: fc.integer({ min: 1, max: 9 }),
      connectTimeout: duration,
      idleTimeout: duration,
    }),
    healthCheck: fc.oneof(
      fc.record({ http: fc.constant({ path: "/healthz" }), interval: duration }),
      fc.record({ grpc: fc.constant({}), healthyThreshold: fc.integer({ min: 1, max: 9 }) }),
    ),
    outlierDetection: some({
      consecutiveGatewayErrors: fc.integer({ min: 1, max: 9 }),
      successRate: some({ stdevFactor: fc.integer({ min: 1, max: 9 }) }),
      failurePercentage: fc.constant({ threshold: 85 }),
      maxEjectionTime: duration,
      panicThreshold: fc.integer({ min: 0, max: 100 }),
      interval: duration,
      maxEjectionPercent: fc.integer({ min: 0, max: 100 }),
    }),
  },
  { requiredKeys: ["ports"] },
);

const metadata = fc.record({ namespace: label, name: label });
const apiVersion = fc.constant("heddle/v1" as const);
const document: fc.Arbitrary<PolicyDocument> = fc.oneof(
  fc.record({
    spec: fc.record(
      { access: fc.constantFrom("deny", "allow"), trustDomain: label, mtls: fc.constantFrom("strict", "disabled") },
      { requiredKeys: ["trustDomain"] },
    ),
    apiVersion,
    kind: fc.constant("Mesh" as const),
    metadata: fc.constant({ name: "default" as const }),
  }),
  fc.record({ spec: serviceSpec, metadata, kind: fc.constant("Service" as const), apiVersion }),
  fc.record({
    metadata,
    kind: fc.constant("Route" as const),
    apiVersion,
    spec: fc.record({ rules: list(routeRule), service: label }),
  }),
  fc.record({
    kind: fc.constant("AccessPolicy" as const),
    apiVersion,
    metadata,
    spec: fc.record({
      service: label,
      rules: list(fc.oneof(fc.record({ allow: callers }), fc.record({ deny: callers }))),
    }),
  }),
);

function parse(rendered: string): PolicyDocument[] {
  const result = parsePolicy([{ file: "f", text: rendered }]);
  if (!result.ok) throw new Error(`${result.error.map(formatProblem).join("\n")}\n${rendered}`);
  return result.value.map((located) => located.document);
}

test("what is rendered parses to the same document", () => {
  fc.assert(
    fc.property(document, (value) => {
      const [parsed] = parse(renderDocument(value));
      expect(canonicalJson(parsed)).toBe(canonicalJson(value));
    }),
    { numRuns: 400 },
  );
});

test("rendering depends on the document, not on the order of its fields", () => {
  fc.assert(
    fc.property(document, (value) => {
      const rendered = renderDocument(value);
      const reversed = { ...value, ...Object.fromEntries(Object.entries(value).reverse()) };
      expect(renderDocument(reversed)).toBe(rendered);
      expect(rendered.split("\n").flatMap((line) => /^(\w+):/.exec(line)?.[1] ?? [])).toEqual([
        "apiVersion",
        "kind",
        "metadata",
        "spec",
      ]);
    }),
    { numRuns: 50 },
  );
});

test("a stream of documents parses to the same documents", () => {
  const unique = fc.uniqueArray(document, {
    maxLength: 5,
    selector: ({ kind, metadata: { name } }) => `${kind}/${name}`,
  });
  fc.assert(
    fc.property(unique, (documents) => {
      expect(parse(renderDocuments(documents)).map(canonicalJson)).toEqual(documents.map(canonicalJson));
    }),
    { numRuns: 50 },
  );
});
