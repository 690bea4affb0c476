/** Requests that clients get slightly wrong, and rules that policy gets slightly wrong, over real hops: what comes of them. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { openToWeb, routeDocument } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

const said = (what: string): string => `respond: { status: 200, body: ${what} }`;

const POLICY = `
---
${openToWeb("catalog")}${routeDocument(
  "catalog",
  `
- match: [{ path: { exact: /host }, headers: { host: { exact: catalog.shop } } }]
  ${said("host")}
- match: [{ path: { exact: /port }, headers: { host: { exact: "catalog:8080" } } }]
  ${said("port")}
- match: [{ path: { exact: /not-host }, headers: { host: { not: { exact: catalog.shop } } } }]
  ${said("not-host")}
- match: [{ path: { exact: /cookie }, cookies: { group: { exact: b1 } } }]
  ${said("cookie")}
- match: [{ path: { exact: /query }, query: { beta: { exact: "a b" } } }]
  ${said("query")}
- match: [{ path: { exact: /header }, headers: { x-a: { exact: "1,2" } } }]
  ${said("header")}
- match: [{ path: { exact: /called-port }, ports: [9090] }, { path: { exact: /caller }, from: [shop/other, admin/*] }]
  ${said("another")}
- match: [{ path: { exact: /called-port }, ports: [8080] }, { path: { exact: /caller }, from: [shop/web] }]
  ${said("own")}
- match: [{ path: { prefix: /prefix } }]
  ${said("prefix")}
- match: [{ path: { regex: "/(a+)+b" } }]
  ${said("regex")}
- match: [{ path: { exact: /empty } }]
  respond: { status: 204, body: "text that is never sent" }
- match: [{ path: { exact: /tls } }]
  redirect: { scheme: https }
- match: [{ path: { exact: /same } }]
  redirect: { path: /elsewhere }
- match: [{ path: { prefix: /strip } }]
  rewrite: { prefix: / }
- match: [{ path: { exact: /small } }]
  maxRequestBytes: 10
- match: [{ path: { exact: /cors } }]
  cors: { origins: ["*"], headers: ["*"], credentials: true }
- match: [{ path: { exact: /never } }]
  timeout: 50ms
  cors: { origins: ["https://a.example"] }
  sticky: { cookie: group, issue: {} }
  headers: { response: { set: { cache-control: public } } }
- match: [{ path: { exact: /issue } }]
  sticky: { cookie: group, issue: {} }
  backends: [{ subset: v1 }]
- match: [{ path: { exact: /issue-not } }]
  sticky: { cookie: group, issue: {} }
  fault: { abort: { status: 418 } }
- match: [{ path: { exact: /abort } }]
  fault: { abort: { grpcStatus: 14 } }
- match: [{ path: { exact: /late } }]
  timeout: 50ms
  fault: { delay: { fixed: 1h }, abort: { status: 418 } }
- match: [{ path: { exact: /late-reset } }]
  timeout: 1h
  fault: { delay: { fixed: 1h }, abort: { reset: true } }
- {}
`,
)}`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

/** What comes back to a request, byte for byte, on a connection of its own. */
async function exchanged(method: string, target: string, fields: readonly string[] = [], host = "catalog") {
  const client = await hops.connect();
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...fields];
  client.send(`${lines.join("\r\n")}\r\n\r\n`);
  const text = await client.untilEnded(15_000);
  client.close();
  const [head = "", body = ""] = text.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head, body };
}

const APP = expect.stringContaining('"instance":"v1"');

test.each([
  ["/host", [], "catalog.shop", "host"],
  ["/host", [], "Catalog.SHOP", "host"],
  ["/host", [], "catalog.shop:8080", "host"],
  ["/host", [], "catalog.shop.", "host"],
  ["/host", [], "catalog", APP],
  ["/port", [], "catalog:8080", "port"],
  ["/port", [], "catalog", APP],
  ["/not-host", [], "catalog", "not-host"],
  ["/not-host", [], "catalog.shop:8080", APP],
  ["/cookie", ["Cookie: group=b1"], "catalog", "cookie"],
  ["/cookie", ['Cookie: a=1;  group="b1" '], "catalog", "cookie"],
  ["/cookie", ["Cookie: a=1", "Cookie: group=b1"], "catalog", "cookie"],
  ["/cookie", ["Cookie: group=b2; group=b1"], "catalog", APP],
  ["/cookie", ['Cookie: group="b1'], "catalog", APP],
  ["/query?beta=a+b", [], "catalog", "query"],
  ["/query?b%65ta=a%20b", [], "catalog", "query"],
  ["/query?beta=a+b&beta=c", [], "catalog", "query"],
  ["/query?beta=c&beta=a+b", [], "catalog", APP],
  ["/query?beta", [], "catalog", APP],
  ["/header", ["X-A: 1", "x-a: 2"], "catalog", "header"],
  ["/header", ["X-A: 1"], "catalog", APP],
  ["/called-port", [], "catalog", "own"],
  ["/called-port", [], "catalog:9090", "own"],
  ["/caller", [], "catalog", "own"],
  ["/prefix", [], "catalog", "prefix"],
  ["//x/..//prefix/", [], "catalog", "prefix"],
  ["/%70refix?q", [], "catalog", "prefix"],
  ["/prefixed", [], "catalog", APP],
  ["/prefix%2Fx", [], "catalog", APP],
  [`/${"a".repeat(6000)}b`, [], "catalog", "regex"],
  [`/${"a".repeat(6000)}c`, [], "catalog", APP],
  ["/strip/a%2Fb?q=%20", [], "catalog", expect.stringContaining('"url":"/a%2Fb?q=%20"')],
  ["/strip?q", [], "catalog", expect.stringContaining('"url":"/?q"')],
])("GET %p with %j for %s", async (target, fields, host, body) => {
  expect(await exchanged("GET", target, fields, host)).toMatchObject({ status: 200, body });
});

test.each([
  ["/tls?x=1", "catalog:8080", "https://catalog/tls?x=1"],
  ["/same?x=1", "catalog:8080", "http://catalog:8080/elsewhere?x=1"],
])("a redirect of %s for %s leads to %s", async (target, host, location) => {
  const { status, head } = await exchanged("HEAD", target, [], host);
  expect(status).toBe(302);
  expect(head).toContain(`location: ${location}\r\n`);
});

test("a response that has no content is framed as one", async () => {
  const { status, head, body } = await exchanged("GET", "/empty");
  expect([status, body]).toEqual([204, ""]);
  expect(head).not.toContain("content-length");
});

test("any header is allowed to scripts with credentials by its name, since `*` would be one", async () => {
  const fields = ["Origin: https://a.example", "Access-Control-Request-Method: GET"];
  const { head } = await exchanged("OPTIONS", "/cors", [...fields, "Access-Control-Request-Headers: x-a, x-b"]);
  expect(head).toContain("access-control-allow-headers: x-a, x-b\r\n");
  expect(head).toContain("access-control-allow-origin: https://a.example\r\n");
  expect(head).toContain("vary: origin, access-control-request-headers");
  expect((await exchanged("OPTIONS", "/cors", fields)).head).not.toContain("access-control-allow-headers");
});

test("scripts may read that there was no answer, which is nobody's to keep", async () => {
  const { status, head } = await exchanged("GET", "/never", ["Origin: https://a.example"]);
  expect(status).toBe(504);
  expect(head).toContain("access-control-allow-origin: https://a.example\r\n");
  expect(head).not.toContain("cache-control");
  expect(head).not.toContain("set-cookie");
});

test("the cookie of the mesh comes with what a backend answers, also in place of an empty one, and with nothing else", async () => {
  expect((await exchanged("GET", "/issue")).head).toContain("set-cookie: group=");
  expect((await exchanged("GET", "/issue", ["Cookie: group="])).head).toContain("set-cookie: group=");
  expect((await exchanged("GET", "/issue", ["Cookie: group=x"])).head).not.toContain("set-cookie");
  const aborted = await exchanged("GET", "/issue-not");
  expect(aborted.status).toBe(418);
  expect(aborted.head).not.toContain("set-cookie");
});

test("failures with a status of gRPC are failures to others as well", async () => {
  expect((await exchanged("GET", "/abort")).status).toBe(503);
});

test("too large a request is RESOURCE_EXHAUSTED to gRPC", async () => {
  const { head } = await exchanged("POST", "/small", ["Content-Type: application/grpc", "Content-Length: 11"]);
  expect(head).toContain("grpc-status: 8\r\n");
});

test("a late failure is no later than the time that the call has", async () => {
  expect((await exchanged("GET", "/late")).status).toBe(504);
  expect((await hops.line("/late")).response_flags).toBe("UT,DI");
  const fields = ["Content-Type: application/grpc", "grpc-timeout: 50m"];
  expect((await exchanged("POST", "/late-reset", fields)).head).toContain("grpc-status: 4\r\n");
});
