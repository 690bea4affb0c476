import { describe, expect, test } from "bun:test";
import { access, type Case, limit, mesh, problemsOf, route, service } from "./complaints.ts";

describe("mesh", () => {
  test.each<Case>([
    [
      "trustDomain: Mesh.Local",
      [
        'f:5:16 spec.trustDomain: "Mesh.Local" must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters; write mesh.local',
      ],
    ],
    [
      "mtls: strict",
      ["f:4:1 spec.trustDomain: is missing; it must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters"],
    ],
    [
      "{ trustDomain: a, mtls: Permisive, access: none }",
      [
        'f:5:27 spec.mtls: "Permisive" must be one of strict, permissive, disabled; write permissive',
        'f:5:46 spec.access: "none" must be one of deny, allow',
      ],
    ],
    ["trustDomain: 7", ['f:5:16 spec.trustDomain: 7 must be text; write "7"']],
    [
      '{ trustDomain: "", constructor: x }',
      [
        "f:5:5 spec.trustDomain: must not be empty",
        "f:5:22 spec.constructor: unknown field `constructor`; allowed here: trustDomain, mtls, access, namespaces, certificateTtl",
      ],
    ],
  ])("%j", (body, problems) => {
    expect(problemsOf(mesh(body))).toEqual(problems);
  });
});

describe("service", () => {
  test.each<Case>([
    ["ports: []", ["f:5:3 spec.ports: must not be empty"]],
    ["ports: 80", ["f:5:10 spec.ports: 80 must be a list"]],
    [
      "ports: { port: 80, protocol: http }",
      ["f:5:3 spec.ports: must be a list, not a map; write [{ port: 80, protocol: http }]"],
    ],
    [
      "port: 80",
      [
        "f:4:1 spec.ports: is missing; write a list",
        "f:5:3 spec.port: unknown field `port`; did you mean ports? allowed here: ports, subsets, loadBalancer, connectionPool, outlierDetection, healthCheck, certificateTtl, mtls, jwt, external",
      ],
    ],
    [
      "ports: [{ port: 0, protocol: http }, { port: 65536, protocol: htp }]",
      [
        "f:5:19 spec.ports[0].port: 0 must be at least 1",
        "f:5:48 spec.ports[1].port: 65536 must be at most 65535",
        'f:5:65 spec.ports[1].protocol: "htp" must be one of http, http2, grpc, tcp; write http',
      ],
    ],
    [
      'ports: [{ port: "80", protocol: HTTP }, { port: 8.5, protocol: grpc }]',
      [
        'f:5:19 spec.ports[0].port: "80" must be a number; write 80',
        'f:5:35 spec.ports[0].protocol: "HTTP" must be one of http, http2, grpc, tcp; write http',
        "f:5:51 spec.ports[1].port: 8.5 must be a whole number",
      ],
    ],
    [
      "ports: [{ containerPort: 80 }]",
      [
        "f:5:11 spec.ports[0].port: is missing; write a number",
        "f:5:11 spec.ports[0].protocol: is missing; write one of http, http2, grpc, tcp",
        "f:5:13 spec.ports[0].containerPort: unknown field `containerPort`; allowed here: port, protocol, mtls",
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], subsets: { V1: { version: 1 }, v2: x, v3: { version: } } }",
      [
        "f:5:55 spec.subsets.V1: `V1` cannot be a name here: it must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters",
        'f:5:79 spec.subsets.v2: "x" must be a map',
        "f:5:88 spec.subsets.v3.version: has no value; write text",
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], loadBalancer: ROUND_ROBIN }",
      [
        'f:5:58 spec.loadBalancer: "ROUND_ROBIN" must be a map; write a map with algorithm, hash, slowStart, locality, failover',
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], loadBalancer: { algorithm: ROUND_ROBIN } }",
      [
        'f:5:71 spec.loadBalancer.algorithm: "ROUND_ROBIN" must be one of peak-ewma, least-request, round-robin, random, ring-hash, maglev; write round-robin',
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], loadBalancer: { algorithm: maglev, failover: Not/A/Service } }",
      [
        'f:5:89 spec.loadBalancer.failover: "Not/A/Service" must be a service, such as catalog-backup or other-namespace/catalog',
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], loadBalancer: { algorithm: random, hash: { header: x-user } } }",
      ["f:5:44 spec.loadBalancer: must have a hash exactly where its algorithm is ring-hash or maglev"],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], connectionPool: { maxConnection: 1, maxRequests: 0 } }",
      [
        "f:5:62 spec.connectionPool.maxConnection: unknown field `maxConnection`; did you mean maxConnections? allowed here: maxConnections, maxPendingRequests, maxRequests, maxRetries, maxRequestsPerConnection, connectTimeout, idleTimeout",
        "f:5:93 spec.connectionPool.maxRequests: 0 must be at least 1",
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], healthCheck: { http: { path: /healthz }, tcp: {} } }",
      ["f:5:44 spec.healthCheck: must have exactly one of http, grpc and tcp"],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], outlierDetection: { consecutive5xx: five, interval: 1.5, maxEjectionPercent: 50% } }",
      [
        'f:5:80 spec.outlierDetection.consecutive5xx: "five" must be a number',
        "f:5:96 spec.outlierDetection.interval: 1.5 must be a duration such as 800ms, 3s or 1m30s; write 1s500ms",
        'f:5:121 spec.outlierDetection.maxEjectionPercent: "50%" must be a number; write 50',
      ],
    ],
    [
      "{ ports: [{ port: 80, protocol: http }], subsets: [v1] }",
      ["f:5:44 spec.subsets: must be a map, not a list of 1"],
    ],
  ])("%j", (body, problems) => {
    expect(problemsOf(service(body))).toEqual(problems);
  });
});

describe("route", () => {
  test.each<Case>([
    [
      "timeout: 3 sec",
      ['f:7:16 spec.rules[0].timeout: "3 sec" must be a duration above zero, such as 800ms, 3s or 1m30s; write 3s'],
    ],
    ["timeout: 3", ["f:7:16 spec.rules[0].timeout: 3 must be a duration such as 800ms, 3s or 1m30s; write 3s or 3ms"]],
    [
      "timeout: 1.5 minutes",
      [
        'f:7:16 spec.rules[0].timeout: "1.5 minutes" must be a duration above zero, such as 800ms, 3s or 1m30s; write 1m30s',
      ],
    ],
    [
      "timeout: 3 months",
      ['f:7:16 spec.rules[0].timeout: "3 months" must be a duration above zero, such as 800ms, 3s or 1m30s'],
    ],
    [
      "match: [{}, { headers: { X-A: { exact: a }, b: { exact: b }, x-a: { exact: c } } }]",
      ["f:7:21 spec.rules[0].match[1].headers: X-A and x-a are the same name; keep one of them"],
    ],
    ["timeout: 0s", ['f:7:16 spec.rules[0].timeout: "0s" must be a duration above zero, such as 800ms, 3s or 1m30s']],
    [
      "timeout: soon",
      ['f:7:16 spec.rules[0].timeout: "soon" must be a duration above zero, such as 800ms, 3s or 1m30s'],
    ],
    [
      "timeout:",
      ["f:7:7 spec.rules[0].timeout: has no value; it must be a duration above zero, such as 800ms, 3s or 1m30s"],
    ],
    [
      "timout: 3s",
      [
        "f:7:7 spec.rules[0].timout: unknown field `timout`; did you mean timeout? allowed here: match, backends, sticky, timeout, idleTimeout, retries, headers, rewrite, redirect, respond, cors, maxRequestBytes, mirror, fault",
      ],
    ],
    ["timeout: 1s\n      timeout: 2s", ["f:8:7 `timeout` is given twice: first on line 7; keep one of the two"]],
    [
      "retries: 3",
      [
        "f:7:16 spec.rules[0].retries: 3 must be a map; write a map with attempts, perTryTimeout, on, statusCodes, backoff, budget",
      ],
    ],
    ["retries: {}", ["f:7:7 spec.rules[0].retries.attempts: is missing; write a number"]],
    [
      "retries: { attempts: 11, on: [5xxx, connect_failure] }",
      [
        "f:7:28 spec.rules[0].retries.attempts: 11 must be at most 10",
        'f:7:37 spec.rules[0].retries.on[0]: "5xxx" must be one of 5xx, gateway-error, connect-failure, reset, retriable-4xx, refused-stream, retriable-status-codes, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable; write 5xx',
        'f:7:43 spec.rules[0].retries.on[1]: "connect_failure" must be one of 5xx, gateway-error, connect-failure, reset, retriable-4xx, refused-stream, retriable-status-codes, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable; write connect-failure',
      ],
    ],
    [
      'retries: { attempts: "3", perTry: 1s, on: 5xx }',
      [
        'f:7:28 spec.rules[0].retries.attempts: "3" must be a number; write 3',
        "f:7:33 spec.rules[0].retries.perTry: unknown field `perTry`; did you mean perTryTimeout? allowed here: attempts, perTryTimeout, on, statusCodes, backoff, budget",
        'f:7:49 spec.rules[0].retries.on: "5xx" must be a list; write [5xx]',
      ],
    ],
    [
      "retries: { attempts: 1, budget: { percent: 101 } }",
      [
        "f:7:31 spec.rules[0].retries.budget.minPerSecond: is missing; write a number",
        "f:7:50 spec.rules[0].retries.budget.percent: 101 must be at most 100",
      ],
    ],
    [
      "backends: [{ weight: 90% }, { weight: -1 }, { weight: 1.5 }, { subset: V_1 }]",
      [
        'f:7:28 spec.rules[0].backends[0].weight: "90%" must be a number; write 90',
        "f:7:45 spec.rules[0].backends[1].weight: -1 must be at least 0",
        "f:7:61 spec.rules[0].backends[2].weight: 1.5 must be a whole number",
        'f:7:78 spec.rules[0].backends[3].subset: "V_1" must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters; write v-1',
      ],
    ],
    ["backends: []", ["f:7:7 spec.rules[0].backends: must not be empty"]],
    [
      "backends: [v1]",
      ['f:7:18 spec.rules[0].backends[0]: "v1" must be a map; write a map with service, subset, weight, headers'],
    ],
    [
      "match: { path: { exact: /a } }",
      ["f:7:7 spec.rules[0].match: must be a list, not a map; write [{ path: { exact: /a } }]"],
    ],
    [
      "match: [{ path: /a }]",
      [
        'f:7:23 spec.rules[0].match[0].path: "/a" must be { exact: /path }, { prefix: /path }, { template: /path/{name} } or { regex: … }; write { exact: /a } or { prefix: /a }',
      ],
    ],
    [
      "match: [{ path: charge }]",
      [
        'f:7:23 spec.rules[0].match[0].path: "charge" must be { exact: /path }, { prefix: /path }, { template: /path/{name} } or { regex: … }; write { exact: /charge } or { prefix: /charge }',
      ],
    ],
    ["match: [{ path: { exact: a } }]", ['f:7:32 spec.rules[0].match[0].path.exact: "a" must begin with /; write /a']],
    [
      "match: [{ path: { exact: /a, prefix: /b } }]",
      ["f:7:17 spec.rules[0].match[0].path: has exact and prefix at once; keep exactly one of them"],
    ],
    [
      "match: [{ path: { regex: (a } }, { path: { template: /a*b } }, { headers: { x: { not: {} } } }]",
      [
        'f:7:32 spec.rules[0].match[0].path.regex: "(a" must be a regular expression: a group is not closed',
        "f:7:88 spec.rules[0].match[2].headers.x.not: must be one of { exact }, { prefix }, { suffix }, { contains } or { regex } with a text, { present: true|false }, or { not } with one of these, not a map",
      ],
    ],
    [
      "match: [{ path: { exat: /a } }]",
      [
        "f:7:25 spec.rules[0].match[0].path.exat: unknown field `exat`; did you mean exact? allowed here: exact, prefix, regex, template",
      ],
    ],
    [
      'match: [{ headers: { x-user: beta, "x user": { exact: a } } }]',
      [
        'f:7:36 spec.rules[0].match[0].headers.x-user: "beta" must be one of { exact }, { prefix }, { suffix }, { contains } or { regex } with a text, { present: true|false }, or { not } with one of these; write { exact: beta } or { prefix: beta }',
        'f:7:42 spec.rules[0].match[0].headers["x user"]: `x user` cannot be a name here: it must be an HTTP header name',
      ],
    ],
    [
      "match: [{ headers: { a: { present: yes } } }]",
      ['f:7:42 spec.rules[0].match[0].headers.a.present: "yes" must be true or false; write true'],
    ],
    [
      "match: [{ methods: get }, { methods: [Get, 7] }]",
      [
        'f:7:26 spec.rules[0].match[0].methods: "get" must be a list; write [GET]',
        'f:7:45 spec.rules[0].match[1].methods[0]: "Get" must be an HTTP method in capitals, such as GET; write GET',
        "f:7:50 spec.rules[0].match[1].methods[1]: 7 must be text",
      ],
    ],
    [
      'match: [{ headers: { "a b": { exact: x } } }]',
      ['f:7:28 spec.rules[0].match[0].headers["a b"]: `a b` cannot be a name here: it must be an HTTP header name'],
    ],
    [
      "retries: { attempts: 1, on: [5xx], statusCodes: [429], backoff: { base: 2s, max: 1s } }",
      [
        "f:7:7 spec.rules[0].retries: must have statusCodes exactly where `on` names retriable-status-codes",
        "f:7:62 spec.rules[0].retries.backoff: must have a base that is not above its max",
      ],
    ],
    [
      "{ redirect: { prefix: /a }, respond: { status: 200 } }",
      [
        "f:7:7 spec.rules[0]: must have at most one of backends, redirect and respond",
        "f:7:7 spec.rules[0]: must match by path prefix wherever it replaces a prefix",
      ],
    ],
    [
      'headers: { request: { set: { x-forwarded-for: a, X-A: " b" }, remove: [Host] } }',
      [
        "f:7:36 spec.rules[0].headers.request.set.x-forwarded-for: `x-forwarded-for` cannot be a name here: it must not be a header that frames the message or that only the mesh sets",
        'f:7:61 spec.rules[0].headers.request.set.X-A: " b" must be one line without spaces around it; write b',
        'f:7:78 spec.rules[0].headers.request.remove[0]: "Host" must not be host, by which requests are routed: rewrite: { host: … } is for that',
      ],
    ],
    [
      "redirect: { host: 'https://example.org' }",
      [
        'f:7:25 spec.rules[0].redirect.host: "https://example.org" must be a host in lower case, such as catalog.shop or example.org:8080; write example.org',
      ],
    ],
    [
      "cors: { origins: [example.org, 'https://example.org/', 'null'] }",
      [
        'f:7:25 spec.rules[0].cors.origins[0]: "example.org" must be an origin such as https://example.org, https://*.example.org or *; write "https://example.org"',
        'f:7:38 spec.rules[0].cors.origins[1]: "https://example.org/" must be an origin such as https://example.org, https://*.example.org or *; write "https://example.org"',
        'f:7:62 spec.rules[0].cors.origins[2]: "null" must be an origin such as https://example.org, https://*.example.org or *',
      ],
    ],
    [
      "fault: { abort: { status: 500, reset: true }, delay: { fixed: 0s, percent: 101 } }",
      [
        "f:7:16 spec.rules[0].fault.abort: must have exactly one of status, grpcStatus and reset",
        'f:7:69 spec.rules[0].fault.delay.fixed: "0s" must be a duration above zero, such as 800ms, 3s or 1m30s',
        "f:7:82 spec.rules[0].fault.delay.percent: 101 must be at most 100",
      ],
    ],
    [
      "route: []",
      [
        "f:7:7 spec.rules[0].route: unknown field `route`; allowed here: match, backends, sticky, timeout, idleTimeout, retries, headers, rewrite, redirect, respond, cors, maxRequestBytes, mirror, fault",
      ],
    ],
  ])("%j", (body, problems) => {
    expect(problemsOf(route(body))).toEqual(problems);
  });
});

describe("access", () => {
  test.each<Case>([
    [
      "x",
      ['f:7:7 spec.rules[0]: "x" must be { allow: { from, methods, paths, … } }, or deny or audit in place of allow'],
    ],
    [
      "{}",
      [
        "f:7:7 spec.rules[0]: must be { allow: { from, methods, paths, … } }, or deny or audit in place of allow, not a map",
      ],
    ],
    [
      "{ from: [shop/web] }",
      [
        "f:7:7 spec.rules[0]: must be { allow: { from, methods, paths, … } }, or deny or audit in place of allow; put from under allow or deny or audit",
      ],
    ],
    [
      "{ alow: {} }",
      ["f:7:9 spec.rules[0].alow: unknown field `alow`; did you mean allow? allowed here: allow, deny, audit"],
    ],
    ["{ allow: {}, deny: {} }", ["f:7:7 spec.rules[0]: has allow and deny at once; keep exactly one of them"]],
    ["allow: { from: shop/web }", ['f:7:22 spec.rules[0].allow.from: "shop/web" must be a list; write [shop/web]']],
    [
      'allow: { from: [web, "shop/*/x", spiffe://other/ns/shop/sa/web] }',
      [
        'f:7:23 spec.rules[0].allow.from[0]: "web" must be namespace/service (such as shop/web), namespace/*, *, none or a SPIFFE ID (addresses go into ipBlocks)',
        'f:7:28 spec.rules[0].allow.from[1]: "shop/*/x" must be namespace/service (such as shop/web), namespace/*, *, none or a SPIFFE ID (addresses go into ipBlocks)',
      ],
    ],
    [
      "allow: { paths: [charge, /a**b, /a*, /a*b, /**/x, '/u/{id}/o'] }",
      [
        'f:7:24 spec.rules[0].allow.paths[0]: "charge" must begin with /; write /charge',
        'f:7:32 spec.rules[0].allow.paths[1]: "/a**b" must be a path such as /charge, /admin/*, /files/*.json, /users/{id}/orders or /**/health (at most 256 characters with wildcards)',
      ],
    ],
    [
      "deny: { method: [GET] }",
      [
        "f:7:15 spec.rules[0].deny.method: unknown field `method`; did you mean methods? allowed here: from, notFrom, ipBlocks, notIpBlocks, methods, notMethods, paths, notPaths, ports, notPorts, headers, notHeaders, sni, notSni, grpc, notGrpc, when",
      ],
    ],
    ["action: ALLOW", ["f:7:7 spec.rules[0].action: unknown field `action`; allowed here: allow, deny, audit"]],
    [
      "allow: { ipBlocks: [10.0.0.0/33, 300.1.1.1, 2001:db8::/32, 10.0.0.1], ports: [0] }",
      [
        'f:7:27 spec.rules[0].allow.ipBlocks[0]: "10.0.0.0/33" must be an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32',
        'f:7:40 spec.rules[0].allow.ipBlocks[1]: "300.1.1.1" must be an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32',
        "f:7:85 spec.rules[0].allow.ports[0]: 0 must be at least 1",
      ],
    ],
    [
      "deny: { headers: { x-env: prod }, grpc: [{ service: 1x }], sni: [a b], when: [{ claim: sub }] }",
      [
        'f:7:33 spec.rules[0].deny.headers.x-env: "prod" must be one of { exact }, { prefix }, { suffix }, { contains } with a text, or { present: true|false }; write { exact: prod } or { prefix: prod }',
        'f:7:59 spec.rules[0].deny.grpc[0].service: "1x" must be a full gRPC service name such as shop.v1.Payment, or a package such as shop.v1.*',
        'f:7:72 spec.rules[0].deny.sni[0]: "a b" must be a server name such as pay.example.org or *.example.org; write a-b',
        "f:7:85 spec.rules[0].deny.when[0].values: is missing; write a list",
      ],
    ],
    [
      "allow:",
      [
        "f:7:7 spec.rules[0].allow: has no value; write a map with from, notFrom, ipBlocks, notIpBlocks, methods, notMethods, paths, notPaths, ports, notPorts, headers, notHeaders, sni, notSni, grpc, notGrpc, when",
      ],
    ],
  ])("%j", (body, problems) => {
    expect(problemsOf(access(body))).toEqual(problems);
  });
});

describe("limit", () => {
  test.each<Case>([
    [
      "{ requests: 100 }",
      ["f:7:7 spec.rules[0].per: is missing; it must be a duration above zero, such as 800ms, 3s or 1m30s"],
    ],
    [
      "{ requests: many, per: second, by: ip }",
      [
        'f:7:19 spec.rules[0].requests: "many" must be a number',
        'f:7:30 spec.rules[0].per: "second" must be a duration above zero, such as 800ms, 3s or 1m30s',
        'f:7:42 spec.rules[0].by: "ip" must be source, path, { header: name }, { claim: name }, or a list of these',
      ],
    ],
    [
      "{ requests: 0, per: 1s, burst: -1 }",
      ["f:7:19 spec.rules[0].requests: 0 must be at least 1", "f:7:38 spec.rules[0].burst: -1 must be at least 0"],
    ],
    ["{ requests: 1e12, per: 1s }", ["f:7:19 spec.rules[0].requests: 1000000000000 must be at most 1000000000"]],
  ])("%j", (body, problems) => {
    expect(problemsOf(limit(body))).toEqual(problems);
  });
});
