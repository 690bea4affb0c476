import { describe, expect, test } from "bun:test";
import { DOCUMENTS_MAX, FILE_BYTES_MAX, parsePolicy } from "../../src/policy/parse.ts";
import { type Case, problemsOf, route, service } from "./complaints.ts";

describe("text", () => {
  test.each<Case>([
    ["hello", ["f:1:1 this is not a document; a document is a map with apiVersion, kind, metadata and spec"]],
    [
      "- a\n- 5",
      [
        "f:1:3 this is not a document; a document is a map with apiVersion, kind, metadata and spec",
        "f:2:3 this is not a document; a document is a map with apiVersion, kind, metadata and spec",
      ],
    ],
    ["kind: 7", ["f:1:7 kind: must be text; write one of Mesh, Service, Route, AccessPolicy, RateLimit"]],
    ["kind:", ["f:1:1 kind: must be text; write one of Mesh, Service, Route, AccessPolicy, RateLimit"]],
    ["apiVersion: heddle/v1", ["f:1:1 kind: is missing; write one of Mesh, Service, Route, AccessPolicy, RateLimit"]],
    [
      "apiVersion: heddle/v1\nkind: Foo",
      ['f:2:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit'],
    ],
    ["apiVersion: heddle/v1\nkind: route", ['f:2:7 kind: there is no kind "route"; did you mean Route?']],
    [
      "kind: Mesh",
      [
        "f:1:1 apiVersion: is missing; write heddle/v1",
        "f:1:1 metadata: is missing; write a map with name",
        "f:1:1 spec: is missing; write a map with trustDomain, mtls, access, namespaces, certificateTtl",
      ],
    ],
    [
      "apiVersion: heddle/v2\nkind: Mesh\nmetadata: { name: main }\nspec: { trustDomain: a }",
      [
        'f:1:13 apiVersion: "heddle/v2" must be heddle/v1; write heddle/v1',
        'f:3:19 metadata.name: "main" must be default: there is one Mesh; write default',
      ],
    ],
    [
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: x }",
      ["f:2:7 kind: VirtualService is Istio's; Heddle's is Route; spec.service and spec.rules replace hosts and http"],
    ],
    [
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy",
      [
        "f:2:7 kind: AuthorizationPolicy is Istio's; Heddle's is AccessPolicy; write rules such as allow: { from: [shop/web], methods: [GET] }",
      ],
    ],
    [
      "kind: DestinationRule",
      [
        "f:1:7 kind: DestinationRule is Istio's; Heddle's is Service; spec.subsets, spec.loadBalancer, spec.connectionPool and spec.outlierDetection replace host and trafficPolicy",
      ],
    ],
    [
      "apiVersion: v1\nkind: Service\nmetadata: { name: x }",
      [
        "f:2:7 kind: this Service is Kubernetes' (v1), not Heddle's; Heddle's documents begin with apiVersion: heddle/v1",
      ],
    ],
    [
      "apiVersion: v1\nkind: List\nitems: []",
      [
        "f:2:7 kind: List is Kubernetes'; Heddle has no such document; write its items one after another, separated by ---",
      ],
    ],
    [
      "apiVersion: apps/v1\nkind: DaemonSet",
      [
        "f:2:7 kind: this DaemonSet is Kubernetes' (apps/v1), not Heddle's; Heddle's documents begin with apiVersion: heddle/v1",
      ],
    ],
    [
      "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute",
      [
        "f:2:7 kind: HTTPRoute is the Gateway API's; Heddle's is Route; spec.service and spec.rules replace parentRefs and rules, precedence: gateway-api keeps their order",
      ],
    ],
    [
      "apiVersion: consul.hashicorp.com/v1alpha1\nkind: ServiceSplitter",
      ["f:2:7 kind: ServiceSplitter is Consul's; Heddle's is Route; write weights in spec.rules[].backends"],
    ],
    [
      "apiVersion: policy.linkerd.io/v1beta3\nkind: Server",
      ["f:2:7 kind: Server is Linkerd's; Heddle's is Service; write spec.ports: [{ port: 8080, protocol: http }]"],
    ],
    [
      "apiVersion: networking.istio.io/v1\nkind: WasmPlugin",
      [
        "f:2:7 kind: this WasmPlugin is Istio's (networking.istio.io/v1), not Heddle's; Heddle's documents begin with apiVersion: heddle/v1",
      ],
    ],
    [
      "apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: Shop_1, nam: x }\nspec: { ports: [{ port: 80, protocol: http }] }",
      [
        "f:3:1 metadata.name: is missing; it must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters",
        'f:3:24 metadata.namespace: "Shop_1" must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters; write shop-1',
        "f:3:32 metadata.nam: unknown field `nam`; did you mean name? allowed here: namespace, name",
      ],
    ],
    [
      "apiVersion: heddle/v1\nkind: Service\nmetadata: shop/x\nspec:",
      [
        'f:3:11 metadata: "shop/x" must be a map; write a map with namespace, name',
        "f:4:1 spec: has no value; write a map with ports, subsets, loadBalancer, connectionPool, outlierDetection, healthCheck, certificateTtl, mtls, jwt, external",
      ],
    ],
    [
      "kind: Mesh\n---\nkind: Foo\n---\n---\n# nothing\n---\nkind: Bar",
      [
        "f:1:1 apiVersion: is missing; write heddle/v1",
        "f:1:1 metadata: is missing; write a map with name",
        "f:1:1 spec: is missing; write a map with trustDomain, mtls, access, namespaces, certificateTtl",
        'f:3:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
        'f:8:7 kind: there is no kind "Bar"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
      ],
    ],
    [
      '{"apiVersion": "heddle/v1", "kind": "Mesh"}\n{"kind": "Rout"}\n',
      [
        "f:1:1 metadata: is missing; write a map with name",
        "f:1:1 spec: is missing; write a map with trustDomain, mtls, access, namespaces, certificateTtl",
        'f:2:10 kind: there is no kind "Rout"; did you mean Route?',
      ],
    ],
    [
      '[{"kind": "Rout"},\n {"kind": "Mesh", "spec": {}}]',
      [
        'f:1:11 kind: there is no kind "Rout"; did you mean Route?',
        "f:2:2 apiVersion: is missing; write heddle/v1",
        "f:2:2 metadata: is missing; write a map with name",
        "f:2:19 spec.trustDomain: is missing; it must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters",
      ],
    ],
    [
      "a: b: c",
      [
        "f:1:4 is not valid YAML: nested mappings are not allowed in compact mappings; check the indentation, or put text that contains a colon in quotes",
      ],
    ],
    ["kind:\n\t- b", ["f:2:1 is not valid YAML: tabs are not allowed as indentation; indent with spaces"]],
    [
      "kind: [1, 2",
      [
        "f:1:12 is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]; check the indentation, and that brackets are closed",
      ],
    ],
    ['kind: "x', ['f:1:9 is not valid YAML: missing closing "quote']],
    ["kind: Mesh\nspec", ["f:2:1 is not valid YAML: implicit map keys need to be followed by map values"]],
    ["- a\nb: 1", ["f:2:1 is not valid YAML: unexpected scalar at node end"]],
    [
      "kind: @x",
      ["f:1:7 is not valid YAML: plain value cannot start with reserved character @; put the text in quotes"],
    ],
    ['kind: "\\q"', ["f:1:8 is not valid YAML: invalid escape sequence \\q"]],
    [
      "kind: !!binary aGk=",
      [
        "f:1:7 is not valid YAML: unresolved tag: tag:yaml.org,2002:binary; leave the tag out",
        'f:1:16 kind: there is no kind "aGk="; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
      ],
    ],
    [
      "%FOO\n---\nkind: Foo",
      [
        "f:1:1 is not valid YAML: unknown directive %FOO",
        'f:3:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
      ],
    ],
    ["? [a]\n: 1", ["f:1:3 is not valid YAML: a list, a map or an alias cannot stand on the left of a colon"]],
    [
      "kind: *none",
      ["f:1:7 *none refers to no earlier anchor in this document; write &none before the value that it stands for"],
    ],
    [
      "kind: &k Foo\nspec: &s [*s]",
      [
        'f:1:10 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
        "f:2:11 *s refers to no earlier anchor in this document; write &s before the value that it stands for",
      ],
    ],
    [
      "kind: Foo\n<<: { a: 1 }",
      [
        'f:1:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
        "f:2:1 merge keys (`<<`) are not part of YAML 1.2; write the fields out, or let an alias stand for a whole value",
      ],
    ],
    [
      "kind: Foo\n__proto__: { a: 1 }",
      [
        'f:1:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
        "f:2:1 `__proto__` cannot be a name",
      ],
    ],
    [
      "kind: Foo\nkind: Bar",
      [
        'f:1:7 kind: there is no kind "Foo"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
        "f:2:1 `kind` is given twice: first on line 1; keep one of the two",
      ],
    ],
    [
      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
      ["f:1:67 maps and lists are nested more than 64 deep"],
    ],
  ])("%j", (body, problems) => {
    expect(problemsOf(body)).toEqual(problems);
  });
});

describe("several documents", () => {
  test("declared twice, with both places, in one file and in two", () => {
    const text = `${service("ports: [{ port: 80, protocol: http }]")}---\n${route("timeout: 1s")}`;
    expect(problemsOf(`${text}---\n${route("timeout: 2s")}`, text)).toEqual([
      "f:15:1 Route/shop/x is declared twice: first at f:7:1; keep one of the two",
      "f2:1:1 Service/shop/x is declared twice: first at f:1:1; keep one of the two",
      "f2:7:1 Route/shop/x is declared twice: first at f:7:1; keep one of the two",
    ]);
  });

  test("a broken one does not hide the others", () => {
    expect(problemsOf(`${route("timeout: 1")}---\na: b: c\n---\n${route("timeout: 2")}`, "kind: x")).toEqual([
      "f:7:16 spec.rules[0].timeout: 1 must be a duration such as 800ms, 3s or 1m30s; write 1s or 1ms",
      "f:9:4 is not valid YAML: nested mappings are not allowed in compact mappings; check the indentation, or put text that contains a colon in quotes",
      "f:11:1 Route/shop/x is declared twice: first at f:1:1; keep one of the two",
      "f:17:16 spec.rules[0].timeout: 2 must be a duration such as 800ms, 3s or 1m30s; write 2s or 2ms",
      'f2:1:7 kind: there is no kind "x"; write one of Mesh, Service, Route, AccessPolicy, RateLimit',
    ]);
  });

  test("every problem names its document when that can be read", () => {
    const result = parsePolicy([{ file: "f", text: `${route("timeout: 1")}---\nkind: Route` }]);
    expect(result.ok ? [] : result.error.map(({ document }) => document)).toEqual([
      "Route/shop/x",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("bounds", () => {
  test("the bytes of a file, not its characters", () => {
    const full = `#${"ü".repeat((FILE_BYTES_MAX - 2) / 2)}`;
    expect(problemsOf(`${full}#`)).toEqual([]);
    expect(problemsOf(`${full}ü`)).toEqual([
      `f: has ${FILE_BYTES_MAX + 1} bytes; at most ${FILE_BYTES_MAX} are read from one file; split it into several files`,
    ]);
  });

  test("the number of documents", () => {
    const many = JSON.stringify(Array.from({ length: DOCUMENTS_MAX + 5 }, () => 0));
    const problems = problemsOf(many);
    expect(problems).toHaveLength(DOCUMENTS_MAX + 1);
    expect(problems.at(-1)).toBe(
      `f:1:${2 * DOCUMENTS_MAX + 2} more than ${DOCUMENTS_MAX} documents at once; apply them in several steps`,
    );
  });

  test.each(["[", "{", "- ", "? ", "a: {", "[{"])("nesting by %j, however deep", (opening) => {
    expect(problemsOf(opening.repeat(100_000))).toEqual([
      expect.stringMatching(/^f:1:\d+ maps and lists are nested more than 64 deep$/),
    ]);
  });

  test("aliases that multiply", () => {
    const levels = Array.from({ length: 20 }, (_, level) => `a${level + 1}: &a${level + 1} [*a${level}, *a${level}]`);
    expect(problemsOf(`a0: &a0 [x]\n${levels.join("\n")}\nkind: *a20`)).toEqual([
      "f:16:12 aliases add more than 100000 values to this document; write the values out",
      "f:22:7 kind: must be text; write one of Mesh, Service, Route, AccessPolicy, RateLimit",
    ]);
  });
});
