import { afterAll, beforeAll, expect, test } from "bun:test";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const admin = (path: string, init: RequestInit = {}): Promise<Response> => fetch(`${hops.web.admin}${path}`, init);

test("what can be read is read with GET", async () => {
  const dump = (await (await admin("/config_dump")).json()) as {
    status: { state: string };
    snapshot: { name: string };
  };
  expect([dump.status.state, dump.snapshot.name]).toEqual(["ready", "web"]);
  const certificates = await (await admin("/certs")).text();
  expect(certificates).toContain("spiffe://mesh.local/ns/shop/sa/web");
  expect(certificates).not.toContain("PRIVATE KEY");
  expect((await hops.clusters())[0]).toMatchObject({ service: "shop/catalog" });
  expect(await (await admin("/healthz/live")).text()).toBe("live\n");
  expect(await (await admin("/healthz/ready")).text()).toBe("ready\n");
  expect((await admin("/nothing")).status).toBe(404);
});

test("commands are POST only, and not for browsers", async () => {
  expect((await admin("/quitquitquit")).status).toBe(405);
  expect((await admin("/drain_listeners?graceful")).status).toBe(405);
  expect((await admin("/config_dump", { method: "POST" })).status).toBe(405);
  expect((await admin("/config_dump", { method: "DELETE" })).status).toBe(405);
  const origin = { origin: "http://evil.example" };
  expect((await admin("/drain_listeners", { method: "POST", headers: origin })).status).toBe(403);
  expect((await admin("/config_dump", { headers: origin })).status).toBe(403);
  const fetchedBy = (site: string) => ({ method: "POST", headers: { "sec-fetch-site": site } });
  expect((await admin("/drain_listeners", fetchedBy("cross-site"))).status).toBe(403);
  expect((await admin("/config_dump", { headers: { "sec-fetch-site": "none" } })).status).toBe(200);
  expect(await (await admin("/healthz/ready")).text()).toBe("ready\n");
});

test("a name that resolves to loopback is not loopback: DNS rebinding gets nowhere", async () => {
  expect((await admin("/config_dump", { headers: { host: "evil.example:15000" } })).status).toBe(403);
  expect((await admin("/config_dump", { headers: { host: "localhost:15000" } })).status).toBe(200);
});

test("metrics are Prometheus text, each sample of a declared family", async () => {
  await hops.call("/");
  const response = await admin("/stats/prometheus");
  expect(response.headers.get("content-type")).toStartWith("text/plain");
  const declared = new Set<string>();
  const samples: string[] = [];
  for (const line of (await response.text()).split("\n")) {
    const type = /^# TYPE (\S+) (?:counter|gauge|histogram)$/.exec(line);
    if (type?.[1] !== undefined) declared.add(type[1]);
    else if (line !== "" && !line.startsWith("#")) samples.push(line);
  }
  expect(samples.length).toBeGreaterThan(20);
  for (const sample of samples) {
    const name = /^([a-z_]+)(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? -?[0-9.e+-]+$/.exec(sample)?.[1];
    expect(name, sample).toBeDefined();
    expect(declared.has(name ?? "") || declared.has((name ?? "").replace(/_(?:bucket|sum|count)$/, "")), sample).toBe(
      true,
    );
  }
  expect(samples.some((line) => line.startsWith("istio_requests_total{") && line.includes('reporter="source"'))).toBe(
    true,
  );
  expect(samples.some((line) => /^heddle_snapshot_revision [1-9]/.test(line))).toBe(true);
});

test("asked to drain, it is no longer ready, finishes, and then takes nothing more", async () => {
  const slow = hops.call("/slow?ms=1000");
  expect((await admin("/drain_listeners?graceful", { method: "POST" })).status).toBe(200);
  expect((await admin("/healthz/ready")).status).toBe(503);
  expect(await (await slow).text()).toBe("slow");
  // A second request to drain waits for the same end.
  await hops.web.sidecar.drain();
  expect(hops.call("/")).rejects.toThrow();
}, 20_000);
