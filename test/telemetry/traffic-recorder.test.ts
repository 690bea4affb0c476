import { describe, expect, test } from "bun:test";
import { LatencySketch } from "../../src/telemetry/latency-sketch.ts";
import { PathTemplates } from "../../src/telemetry/path-template.ts";
import { RequestRecord } from "../../src/telemetry/request-record.ts";
import { flagSet } from "../../src/telemetry/response-flags.ts";
import { TrafficRecorder } from "../../src/telemetry/traffic-recorder.ts";
import { decodeTrafficSummary, encodeTrafficSummary } from "../../src/telemetry/traffic-summary.ts";

function request(path: string, fields: Partial<RequestRecord> = {}): RequestRecord {
  return Object.assign(new RequestRecord(), { method: "GET", path, status: 200, endNs: 5e6, ...fields });
}

const EDGE = { reporter: "destination", source: "shop/web", destination: "shop/api" } as const;

describe("path templates", () => {
  test.each([
    ["/", "/"],
    ["/items", "/items"],
    ["/items/4711", "/items/{}"],
    ["/items/4711/parts/9?page=2", "/items/{}/parts/{}"],
    ["/v1/items/550e8400-e29b-41d4-a716-446655440000", "/v1/items/{}"],
    ["/oauth2/token", "/oauth2/token"],
    ["/blobs/sha256/9f86d081884c7d65", "/blobs/{}/{}"],
    ["/users/ada@example.org", "/users/{}"],
    ["/items/", "/items/"],
    ["*", "*"],
  ])("%s is %s", (path, template) => {
    expect(new PathTemplates().of(path)).toBe(template);
  });

  test("names that are too many after one prefix are taken for ids", () => {
    const templates = new PathTemplates();
    const letters = "abcdefghijklmnop";
    const seen = new Set<string>();
    for (const a of letters) for (const b of letters) seen.add(templates.of(`/users/${a}${b}`));
    expect(seen.size).toBe(65);
    expect(templates.of("/users/zz/orders")).toBe("/users/{}/orders");
  });

  test("there is an end to templates, whatever paths come", () => {
    const templates = new PathTemplates();
    const seen = new Set<string>();
    const name = (n: number): string => n.toString(2).replaceAll("0", "a").replaceAll("1", "b");
    for (let n = 0; n < 50_000; n++) seen.add(templates.of(`/${name(n % 60)}/${name(n % 59)}/${name(n % 61)}`));
    expect(seen.size).toBeLessThanOrEqual(2_049);
    expect(templates.of(`/x${"/y".repeat(20)}`)).toBe("*");
  });
});

describe("recorder", () => {
  test("adds up calls by method, template and decision, and forgets what is taken", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path });
    const edge = recorder.edge(EDGE);
    edge.count(request("/items/1"));
    edge.count(request("/items/2", { status: 503 }));
    edge.count(request("/items/3", { status: 403, flags: flagSet("RBAC") }));
    edge.count(request("/items/3", { method: "PUT", status: 429, flags: flagSet("RL") }));
    const calls = recorder.take();
    expect(calls).toMatchObject([
      {
        ...{ source: "shop/web", destination: "shop/api" },
        path: "/items/{}",
        decision: "allowed",
        count: 2,
        errors: 1,
      },
      { method: "GET", path: "/items/{}", decision: "denied", count: 1, errors: 0 },
      { method: "PUT", path: "/items/{}", decision: "limited", count: 1 },
    ]);
    expect(recorder.take()).toEqual([]);
  });

  test("at the source, only calls that never left it are counted: the others are where they arrived", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path });
    const edge = recorder.edge({ ...EDGE, reporter: "source" });
    edge.count(request("/items/1"));
    edge.count(request("/items/1", { status: 403 }));
    edge.count(request("/items/1", { status: 403, flags: flagSet("RBAC") }));
    edge.count(request("/items/1", { status: 404, flags: flagSet("NR") }));
    edge.count(request("/items/1", { status: 503, flags: flagSet("UH") }));
    expect(recorder.take().map(({ decision }) => decision)).toEqual(["denied", "unrouted", "failed"]);
  });

  test("a call that a fault ended at its source is an error of the service that was called", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path });
    const edge = recorder.edge({ ...EDGE, reporter: "source" });
    edge.count(request("/items/1", { status: 503, flags: flagSet("FI") }));
    edge.count(request("/items/1", { status: 0, flags: flagSet("FI", "DI") }));
    edge.count(request("/items/1", { status: 200, grpcStatus: 14, flags: flagSet("FI") }));
    // Delayed on purpose, and then carried: counted where it arrived.
    edge.count(request("/items/1", { flags: flagSet("DI") }));
    expect(recorder.take()).toMatchObject([{ path: "/items/{}", decision: "failed", count: 3, errors: 3 }]);
  });

  test("a gRPC status that is the server's failure is an error, and one that is the caller's is none", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path });
    const edge = recorder.edge(EDGE);
    for (const grpcStatus of [0, 3, 5, 7, 16]) edge.count(request("/shop.Items/Get", { grpcStatus }));
    for (const grpcStatus of [2, 4, 12, 13, 14, 15]) edge.count(request("/shop.Items/Get", { grpcStatus }));
    expect(recorder.take()).toMatchObject([{ count: 11, errors: 6 }]);
  });

  test("what there is no room for is one entry, and no call is lost", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path, callsMax: 10 });
    const edge = recorder.edge(EDGE);
    for (let n = 0; n < 60; n++) edge.count(request(`/${"abcdefgh"[n % 8]}${"stuvwxyz"[Math.floor(n / 8)]}`));
    for (let n = 0; n < 60; n++) edge.count(request("/as", { method: `METHOD${n}` }));
    const calls = recorder.take();
    expect(calls.length).toBe(11);
    expect(calls.reduce((sum, { count }) => sum + count, 0)).toBe(120);
    expect(calls.find(({ path }) => path === "*")?.method).toBe("*");
    expect(recorder.dropped).toBe(0);
  });

  test("a path that rules refuse to read has no template", () => {
    const recorder = new TrafficRecorder({ normalise: () => undefined });
    recorder.edge(EDGE).count(request("/%zz", { status: 400, flags: flagSet("DPE") }));
    expect(recorder.take()).toMatchObject([{ path: "*", method: "*", count: 1 }]);
  });

  test("a summary is read as it was written, and anything else is none", () => {
    const recorder = new TrafficRecorder({ normalise: (path) => path });
    recorder.edge(EDGE).count(request("/items/1"));
    const calls = recorder.take();
    const summary = { schema: 1, instance: "a", epoch: 1, sequence: 1, fromMs: 1, toMs: 2, droppedCalls: 0, calls };
    const bytes = encodeTrafficSummary({ ...summary, schema: 1 });
    expect(decodeTrafficSummary(bytes)).toEqual({ ...summary, schema: 1 });
    expect(decodeTrafficSummary(bytes.subarray(1))).toBeUndefined();
    const [call] = calls;
    for (const wrong of [
      { source: "web" },
      { count: -1 },
      { count: 1.5 },
      { latency: ["1"] },
      { decision: "x" },
      Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field${index}`, 1])),
    ]) {
      const altered = JSON.stringify({ ...summary, calls: [{ ...call, ...wrong }] });
      expect(decodeTrafficSummary(new TextEncoder().encode(altered)), altered).toBeUndefined();
    }
  });
});

test("a summary of a later version is read, with what it has beside ours left out", () => {
  const recorder = new TrafficRecorder({ normalise: (path) => path });
  recorder.edge(EDGE).count(request("/items/1"));
  const calls = recorder.take();
  const summary = { schema: 1, instance: "a", epoch: 1, sequence: 1, fromMs: 1, toMs: 2, droppedCalls: 0 };
  const later = { ...summary, zone: "b", calls: calls.map((call) => ({ ...call, bytes: 7 })) };
  const read = decodeTrafficSummary(new TextEncoder().encode(JSON.stringify(later)));
  expect(read).toMatchObject({ ...summary, schema: 1, calls });
  expect(read).not.toHaveProperty("zone");
});

describe("latency sketch", () => {
  test("knows quantiles to within 10%, also of two that were added up", () => {
    const [low, high] = [new LatencySketch(), new LatencySketch()];
    for (let ms = 1; ms <= 500; ms++) low.observe(ms);
    for (let ms = 501; ms <= 1_000; ms++) high.observe(ms);
    low.merge(high.counts());
    for (const q of [0.01, 0.25, 0.5, 0.9, 0.99]) {
      const found = low.quantile(q) ?? 0;
      expect(Math.abs(found / (q * 1_000) - 1)).toBeLessThan(0.1);
    }
    expect(low.total).toBe(1_000);
    expect(new LatencySketch().quantile(0.5)).toBeUndefined();
  });
});
