import { describe, expect, test } from "bun:test";
import { access, type Case, limit, mesh, problemsOf, service } from "./complaints.ts";

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
