/** What route rules do to requests and responses, over real hops: other services, headers, paths, answers, copies, failures. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";
import { type JoinedInstance, TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
${serviceDocument("next", "http")}${serviceDocument("vault", "http")}${openToWeb("catalog")}apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: next }
spec: { service: next, rules: [{ allow: { from: [shop/web], paths: ["/*"] } }, { deny: { paths: [/closed] } }] }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - match: [{ path: { prefix: /next } }]
      backends: [{ service: next }]
    - match: [{ path: { prefix: /split } }]
      backends: [{ weight: 7 }, { service: shop/next, weight: 7 }, { service: vault, weight: 0 }]
    - match: [{ path: { prefix: /vault } }]
      backends: [{ service: vault }]
    - match: [{ path: { prefix: /sticky } }]
      sticky: { cookie: user }
      backends: [{ weight: 1 }, { service: next, weight: 1 }]
    - match: [{ path: { prefix: /headers } }]
      headers:
        request: { set: { x-set: rule }, add: { x-added: rule }, remove: [x-gone] }
        response: { set: { x-out: "yes" }, remove: [content-type] }
      backends: [{ headers: { request: { add: { x-added: backend } } } }]
    - match: [{ path: { prefix: /old/api } }]
      rewrite: { prefix: /new, host: "rewritten.example" }
    - match: [{ path: { prefix: /closed-door } }]
      rewrite: { path: /closed }
      backends: [{ service: next }]
    - match: [{ path: { prefix: /moved } }]
      redirect: { scheme: https, host: example.org, prefix: /here, status: 308 }
    - match: [{ path: { exact: /sorry } }]
      headers: { response: { set: { cache-control: no-store } } }
      respond: { status: 451, body: "not here\\n", contentType: text/plain }
    - match: [{ path: { prefix: /cors } }]
      cors: { origins: ["https://*.example.org"], methods: [GET, PUT], headers: [x-a], exposeHeaders: [x-b], credentials: true, maxAge: 10m }
    - match: [{ path: { prefix: /small } }]
      maxRequestBytes: 1000
    - match: [{ path: { prefix: /mirrored } }]
      mirror: { service: next }
    - match: [{ path: { prefix: /mirror-nowhere } }]
      mirror: { service: vault }
    - match: [{ path: { exact: /abort } }]
      fault: { abort: { status: 418 } }
    - match: [{ path: { exact: /some-abort } }]
      fault: { abort: { status: 418, percent: 25 } }
    - match: [{ path: { exact: /reset } }]
      fault: { abort: { reset: true } }
    - match: [{ path: { exact: /pkg.Service/Call } }]
      fault: { abort: { grpcStatus: 14 } }
    - match: [{ path: { exact: /delay } }]
      fault: { delay: { fixed: 300ms } }
    - match: [{ path: { exact: /delay-timeout } }]
      timeout: 100ms
      fault: { delay: { fixed: 1h } }
    - {}
`;

let hops: TwoHops;
let next: JoinedInstance;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
  next = await hops.join("next", "next", 1);
});
afterAll(() => hops.stop());

interface Seen {
  readonly instance: string;
  readonly url: string;
  /** Name, value, name, value… */
  readonly headers: string[];
}

function fieldOf({ headers }: Seen, name: string): string | undefined {
  const values = headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name);
  return values.length === 0 ? undefined : values.join(", ");
}

async function seenOf(path: string, init: RequestInit = {}): Promise<Seen> {
  const response = await hops.call(path, init);
  expect([path, response.status]).toEqual([path, 200]);
  return (await response.json()) as Seen;
}

describe("backends", () => {
  test("another service takes the call, and its own rules decide about it", async () => {
    expect((await seenOf("/next/a")).instance).toBe("next");
    expect((await hops.line("/next/a")).upstream_host).not.toBeNull();
    expect((await hops.metrics()).includes('destination_service_name="next"')).toBe(true);
  });

  test("one that the caller may not call is refused, and not bypassed", async () => {
    const response = await hops.call("/vault");
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("shop/vault");
  });

  test("weights need no particular sum, and 0 is never drawn", async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 200 && seen.size < 2; round++) seen.add((await seenOf("/split")).instance);
    expect([...seen].sort()).toEqual(["next", "v1"]);
  });

  test("requests with the same cookie go to the same backend", async () => {
    const backends = new Map<string, Set<string>>();
    for (let round = 0; round < 60; round++) {
      const user = `user-${round % 12}`;
      const { instance } = await seenOf("/sticky", { headers: { cookie: `user=${user}` } });
      backends.set(user, (backends.get(user) ?? new Set()).add(instance));
    }
    expect([...backends.values()].map((own) => own.size)).toEqual(Array(12).fill(1));
    expect(new Set([...backends.values()].flatMap((own) => [...own])).size).toBe(2);
  });
});

describe("headers and paths", () => {
  test("are changed on the way there and back, the rule's before the backend's", async () => {
    const response = await hops.call("/headers", { headers: { "x-set": "app", "x-gone": "app", "x-added": "app" } });
    expect(response.headers.get("x-out")).toBe("yes");
    expect(response.headers.get("content-type")).toBeNull();
    const seen = (await response.json()) as Seen;
    expect(fieldOf(seen, "x-set")).toBe("rule");
    expect(fieldOf(seen, "x-gone")).toBeUndefined();
    expect(fieldOf(seen, "x-added")).toBe("app, rule, backend");
  });

  test.each([
    ["/old/api", "/new"],
    ["/old/api/items?q=1", "/new/items?q=1"],
  ])("%s becomes %s", async (path, url) => {
    const seen = await seenOf(path);
    expect(seen.url).toBe(url);
    expect(fieldOf(seen, "host")).toBe("rewritten.example");
  });

  test("the called side decides by the path that it gets", async () => {
    expect((await hops.call("/closed-door")).status).toBe(403);
  });

  test("redirects and answers of the rule's own reach no service", async () => {
    const moved = await hops.call("/moved/there?q=1", { redirect: "manual" });
    expect([moved.status, moved.headers.get("location")]).toEqual([308, "https://example.org/here/there?q=1"]);
    const sorry = await hops.call("/sorry");
    expect([sorry.status, await sorry.text()]).toEqual([451, "not here\n"]);
    expect(sorry.headers.get("cache-control")).toBe("no-store");
    expect(sorry.headers.get("server")).toBe("heddle");
    expect((await hops.line("/sorry")).response_code_details).toBe("direct_response");
  });
});

describe("CORS", () => {
  const origin = "https://app.example.org";

  test("preflights are answered by the sidecar", async () => {
    const ask = (from: string) =>
      hops.call("/cors", { method: "OPTIONS", headers: { origin: from, "access-control-request-method": "PUT" } });
    const { headers, status } = await ask(origin);
    expect(status).toBe(200);
    expect(headers.get("access-control-allow-origin")).toBe(origin);
    expect(headers.get("access-control-allow-methods")).toBe("GET, PUT");
    expect(headers.get("access-control-allow-headers")).toBe("x-a");
    expect(headers.get("access-control-allow-credentials")).toBe("true");
    expect(headers.get("access-control-max-age")).toBe("600");
    expect((await ask("https://evil.test")).headers.get("access-control-allow-origin")).toBeNull();
  });

  test("actual responses say who may read them", async () => {
    const allowed = await hops.call("/cors", { headers: { origin } });
    expect(allowed.headers.get("access-control-allow-origin")).toBe(origin);
    expect(allowed.headers.get("access-control-expose-headers")).toBe("x-b");
    expect(allowed.headers.get("vary")).toContain("origin");
    const refused = await hops.call("/cors", { headers: { origin: "https://example.org.evil.test" } });
    expect(refused.status).toBe(200);
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("the size of requests", () => {
  test("is held against the limit, announced or not", async () => {
    const announced = (bytes: number) => hops.call("/small", { method: "POST", body: "x".repeat(bytes) });
    expect((await announced(1000)).status).toBe(200);
    expect((await announced(1001)).status).toBe(413);
    const client = await hops.connect();
    client.send(
      `POST /small HTTP/1.1\r\nHost: catalog\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${"x".repeat(1001)}\r\n0\r\n\r\n`,
    );
    expect(await client.until("\r\n\r\n")).toContain("413");
    client.close();
  });
});

/** Of all requests that a sidecar counted. */
function countOf(metrics: string): number {
  const lines = metrics.split("\n").filter((line) => line.startsWith("istio_requests_total{"));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

describe("mirrors", () => {
  test("get the request with its body and a mark, and count as nobody's traffic", async () => {
    const response = await hops.call("/mirrored/a", { method: "POST", body: "hello" });
    expect(((await response.json()) as Seen).instance).toBe("v1");
    await eventually(async () => expect((await next.app.seen()).seen).toContain("POST /mirrored/a"));
    await eventually(async () =>
      expect(await hops.metrics()).toContain('heddle_mirrored_requests_total{outcome="answered"}'),
    );
    const metrics = await hops.metrics(next);
    expect(metrics).toContain('heddle_mirrored_requests_total{outcome="received"} 1');
    // Nothing of it stands among the requests of users, at either end.
    const before = countOf(await hops.metrics(next));
    await hops.call("/mirrored/b");
    await eventually(async () => expect((await next.app.seen()).seen).toContain("GET /mirrored/b"));
    expect(countOf(await hops.metrics(next))).toBe(before);
  });

  test("larger than what is kept are given up, and the request is not", async () => {
    const response = await hops.call("/mirrored/large", { method: "POST", body: "x".repeat(1_000_000) });
    expect(response.status).toBe(200);
    await response.text();
    await eventually(async () =>
      expect(await hops.metrics()).toMatch(/heddle_mirrored_requests_total\{outcome="abandoned"\} 1/),
    );
  });

  test("that may not be sent are not, and nobody notices", async () => {
    expect((await seenOf("/mirror-nowhere")).instance).toBe("v1");
    expect(await hops.metrics()).toContain('heddle_mirrored_requests_total{outcome="unreachable"} 1');
  });
});

describe("failures on purpose", () => {
  test("are said to be", async () => {
    const response = await hops.call("/abort");
    expect(response.status).toBe(418);
    expect(await response.text()).toContain("on purpose");
    const line = await hops.line("/abort");
    expect([line.response_flags, line.response_code_details]).toEqual(["FI", "fault_filter_abort"]);
  });

  test("come to the share that is asked for", async () => {
    const CALLS = 400;
    let aborted = 0;
    for (let call = 0; call < CALLS; call++) {
      const response = await hops.call("/some-abort");
      await response.arrayBuffer();
      if (response.status === 418) aborted++;
    }
    // Five standard deviations of a binomial distribution: one run in two million is outside.
    const deviation = Math.sqrt(CALLS * 0.25 * 0.75);
    expect(Math.abs(aborted - CALLS * 0.25)).toBeLessThan(5 * deviation);
  });

  test("end the connection, or have a status of gRPC", async () => {
    expect(hops.call("/reset")).rejects.toThrow();
    const response = await hops.call("/pkg.Service/Call", {
      method: "POST",
      headers: { "content-type": "application/grpc" },
    });
    expect(response.headers.get("grpc-status")).toBe("14");
  });

  test("hold a call up, within the time that it has", async () => {
    const before = performance.now();
    expect((await hops.call("/delay")).status).toBe(200);
    expect(performance.now() - before).toBeGreaterThanOrEqual(290);
    expect((await hops.line("/delay")).response_flags).toBe("DI");
    expect((await hops.call("/delay-timeout")).status).toBe(504);
    expect((await hops.line("/delay-timeout")).response_flags).toBe("UT,DI");
  });
});
