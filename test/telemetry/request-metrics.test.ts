import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CellFamily, computed, Histogram } from "../../src/telemetry/metric-family.ts";
import { MetricsPage } from "../../src/telemetry/metrics-page.ts";
import { type Edge, ISTIO_BUCKETS, RequestMetrics } from "../../src/telemetry/request-metrics.ts";
import { flagSet } from "../../src/telemetry/response-flags.ts";
import { SidecarMetrics } from "../../src/telemetry/sidecar-metrics.ts";
import { readExposition } from "./exposition.ts";
import { record } from "./record.ts";

const edge: Edge = {
  reporter: "source",
  source: { workload: "web", namespace: "shop", principal: "spiffe://mesh.local/ns/shop/sa/web", app: "web" },
  destination: { workload: "catalog", namespace: "shop", version: "v1" },
  service: "catalog.shop.mesh.local",
  serviceName: "catalog",
  serviceNamespace: "shop",
  port: 8080,
  security: "unknown",
};

const labels = {
  reporter: "source",
  source_workload: "web",
  source_workload_namespace: "shop",
  source_principal: "spiffe://mesh.local/ns/shop/sa/web",
  source_app: "web",
  source_version: "unknown",
  destination_workload: "catalog",
  destination_workload_namespace: "shop",
  destination_principal: "unknown",
  destination_app: "unknown",
  destination_version: "v1",
  destination_service: "catalog.shop.mesh.local",
  destination_service_name: "catalog",
  destination_service_namespace: "shop",
  destination_port: "8080",
  connection_security_policy: "unknown",
};

const scrape = async (metrics: RequestMetrics) =>
  readExposition((await new MetricsPage(metrics.families()).render()).text);

describe("RequestMetrics", () => {
  test("counts a request under Istio's names and labels", async () => {
    const metrics = new RequestMetrics();
    metrics.edge(edge).count(record({ bytesReceived: 0, bytesSent: 130 }));
    metrics.edge({ ...edge }).count(record({ bytesSent: 70 }));
    metrics.edge(edge).count(record({ status: 503, flags: flagSet("UF", "URX") }));
    metrics.edge(edge).count(record({ isGrpc: true, grpcStatus: 14 }));
    const outcome = (code: string, flags = "-", protocol = "http", grpc = "") => ({
      ...labels,
      request_protocol: protocol,
      response_code: code,
      grpc_response_status: grpc,
      response_flags: flags,
    });
    const scraped = await scrape(metrics);
    expect(scraped.get("istio_requests_total")).toEqual({
      type: "counter",
      samples: [
        { name: "istio_requests_total", labels: outcome("200"), value: 2 },
        { name: "istio_requests_total", labels: outcome("503", "UF,URX"), value: 1 },
        { name: "istio_requests_total", labels: outcome("200", "-", "grpc", "14"), value: 1 },
      ],
    });
    const bytes = scraped.get("istio_response_bytes")?.samples ?? [];
    expect(bytes).toContainEqual({ name: "istio_response_bytes_sum", labels: outcome("200"), value: 200 });
    expect(bytes).toContainEqual({
      name: "istio_response_bytes_bucket",
      labels: { ...outcome("200"), le: "100" },
      value: 1,
    });
    expect(bytes).toContainEqual({
      name: "istio_response_bytes_bucket",
      labels: { ...outcome("200"), le: "250" },
      value: 2,
    });
    const durations = scraped.get("istio_request_duration_milliseconds")?.samples ?? [];
    const at = (le: string) => durations.find((sample) => sample.labels.le === le)?.value;
    expect([at("0.5"), at("10"), at("25"), at("3600000"), at("+Inf")]).toEqual([0, 0, 2, 2, 2]);
  });

  test("shows at each scrape what is true then", async () => {
    const metrics = new RequestMetrics();
    const page = new MetricsPage(metrics.families());
    const total = async () => readExposition((await page.render()).text).get("istio_requests_total")?.samples[0]?.value;
    expect(await total()).toBeUndefined();
    metrics.edge(edge).count(record());
    expect(await total()).toBe(1);
    metrics.edge(edge).count(record());
    expect(await total()).toBe(2);
  });

  test("past its bound, everything new is one series, and nothing is lost", async () => {
    const metrics = new RequestMetrics(3);
    for (let status = 200; status < 300; status++) metrics.edge(edge).count(record({ status }));
    for (let n = 0; n < 100; n++) metrics.edge({ ...edge, serviceName: `s${n}` }).count(record());
    metrics.edge(edge).count(record({ status: 201 }));
    const series = (await scrape(metrics)).get("istio_requests_total")?.samples ?? [];
    expect(series.map(({ labels, value }) => [labels.response_code, value])).toEqual([
      ["200", 1],
      ["201", 2],
      ["202", 1],
      ["overflow", 197],
    ]);
    expect(new Set(Object.values(series[3]?.labels ?? {}))).toEqual(new Set(["overflow"]));
  });

  test("tells outcomes apart whenever any part of them differs", async () => {
    const outcomes = fc.uniqueArray(
      fc.record({
        status: fc.integer({ min: 200, max: 204 }),
        flags: fc.constantFrom(0, 1, 2 ** 18 - 1),
        isGrpc: fc.boolean(),
        grpcStatus: fc.option(fc.integer({ min: 0, max: 16 }), { nil: undefined }),
      }),
      { maxLength: 20, selector: (outcome) => JSON.stringify(outcome) },
    );
    await fc.assert(
      fc.asyncProperty(outcomes, async (list) => {
        const metrics = new RequestMetrics();
        for (const outcome of [...list, ...list]) metrics.edge(edge).count(record(outcome));
        const samples = (await scrape(metrics)).get("istio_requests_total")?.samples ?? [];
        expect(samples.map(({ value }) => value)).toEqual(list.map(() => 2));
      }),
      { numRuns: 50 },
    );
  });

  test("adds up TCP connections", async () => {
    const metrics = new RequestMetrics();
    const tcp = metrics.tcpEdge(edge);
    tcp.connectionsOpened++;
    tcp.sentBytes += 10;
    metrics.tcpEdge(edge).sentBytes += 5;
    const scraped = await scrape(metrics);
    const expected = { ...labels, request_protocol: "tcp", response_flags: "-" };
    const value = (name: string) => scraped.get(name)?.samples;
    expect(value("istio_tcp_sent_bytes_total")).toEqual([
      { name: "istio_tcp_sent_bytes_total", labels: expected, value: 15 },
    ]);
    expect(value("istio_tcp_connections_opened_total")?.[0]?.value).toBe(1);
    expect(value("istio_tcp_connections_closed_total")?.[0]?.value).toBe(0);
    expect(value("istio_tcp_received_bytes_total")?.[0]?.value).toBe(0);
  });
});

describe("Histogram", () => {
  test("puts each value where a plain reading of the bounds puts it", () => {
    const value = fc.oneof(fc.constantFrom(...ISTIO_BUCKETS), fc.double({ min: 0, max: 1e7, noNaN: true }));
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const histogram = new Histogram(ISTIO_BUCKETS);
        for (const one of values) histogram.observe(one);
        let below = 0;
        for (const [index, bound] of ISTIO_BUCKETS.entries()) {
          below += histogram.counts[index] ?? Number.NaN;
          expect(below).toBe(values.filter((one) => one <= bound).length);
        }
        expect(histogram.counts.reduce((sum, count) => sum + count, 0)).toBe(values.length);
        expect(histogram.sum).toBe(values.reduce((sum, one) => sum + one, 0));
      }),
    );
  });
});

describe("MetricsPage", () => {
  test("escapes label values, shows cells and computed values, and leaves out what is not known", async () => {
    const family = new CellFamily("gauge", "heddle_test", "Help with a \\ and a\nline.", ["name", "other"]);
    family.cell({ other: "o", name: 'quote " backslash \\ line \n' }).value = 1.5;
    const page = new MetricsPage([
      family,
      computed("gauge", "heddle_known", "Known.", () => 7),
      computed("gauge", "heddle_unknown", "Unknown.", () => undefined),
    ]);
    const { text, contentType } = await page.render();
    expect(contentType).toStartWith("text/plain; version=0.0.4");
    const read = readExposition(text);
    expect(read.get("heddle_test")?.samples).toEqual([
      { name: "heddle_test", labels: { name: 'quote " backslash \\ line \n', other: "o" }, value: 1.5 },
    ]);
    expect(read.get("heddle_known")?.samples).toEqual([{ name: "heddle_known", labels: {}, value: 7 }]);
    expect(read.get("heddle_unknown")?.samples).toEqual([]);
  });

  test("a cell is the same for the same labels, and forgotten when removed", async () => {
    const family = new CellFamily("counter", "heddle_test_total", "Test.", ["upstream"]);
    const cell = family.cell({ upstream: "shop/a" });
    cell.value += 2;
    expect(family.cell({ upstream: "shop/a" })).toBe(cell);
    family.remove({ upstream: "shop/a" });
    expect([...family.samples()]).toEqual([]);
  });

  /** A sidecar's page with a little of everything. */
  function sidecarPage(): MetricsPage {
    const sidecar = new SidecarMetrics();
    sidecar.snapshotRevision = 42;
    sidecar.snapshotConfirmedMs = 1000;
    sidecar.certificateExpiryS = 1_800_000_000;
    sidecar.denied.cell({ reason: "default" }).value++;
    sidecar.retries.cell({ upstream: "shop/catalog" }).value++;
    const requests = new RequestMetrics();
    requests.edge(edge).count(record());
    return new MetricsPage([...sidecar.families(() => 3500), ...requests.families()]);
  }

  test("says what a sidecar knows of itself", async () => {
    const read = readExposition((await sidecarPage().render()).text);
    const first = (name: string) => read.get(name)?.samples[0];
    expect(first("heddle_snapshot_revision")?.value).toBe(42);
    expect(first("heddle_snapshot_age_seconds")?.value).toBe(2.5);
    expect(first("heddle_certificate_expiry_timestamp_seconds")?.value).toBe(1_800_000_000);
    expect(first("heddle_denied_total")?.labels).toEqual({ reason: "default" });
    expect(first("heddle_retries_total")?.labels).toEqual({ upstream: "shop/catalog" });
    expect(first("process_resident_memory_bytes")?.value).toBeGreaterThan(1e6);
    expect(first("process_cpu_seconds_total")?.value).toBeGreaterThan(0);
    expect(Math.abs((first("process_start_time_seconds")?.value ?? 0) - Date.now() / 1000)).toBeLessThan(3600);
  });

  const promtool = Bun.which("promtool");
  test.skipIf(promtool === null)("satisfies promtool (skipped where Prometheus is not installed)", async () => {
    const { text } = await sidecarPage().render();
    const check = Bun.spawn([promtool ?? "", "check", "metrics"], { stdin: new Blob([text]), stderr: "pipe" });
    const complaints = (await new Response(check.stderr).text()).split("\n").filter((line) => line !== "");
    // Istio's names are given, and its histogram has a unit that Prometheus would not choose.
    expect(complaints).toEqual([
      'istio_request_duration_milliseconds use base unit "seconds" instead of "milliseconds"',
    ]);
  });
});
