import { describe, expect, test } from "bun:test";
import { type Case, problemsOf, route } from "./complaints.ts";

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
