/** Bounds on connections and on what is under way, and times that end them, at a real caller's sidecar. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { parseGrpcTimeout } from "../../../src/proxy/grpc-timeout.ts";
import { BareService } from "../../support/bare-service.ts";
import { Fleet, type FleetService } from "../../support/fleet.ts";
import { eventually } from "../../support/mesh.ts";

/** Without a sidecar at the other end, which would have bounds of its own. */
const plain = (pool: string, rule?: string): FleetService => ({
  spec: `mtls: disabled, connectionPool: { ${pool} },`,
  ...(rule === undefined ? {} : { rules: `{ ${rule} }` }),
});
const POLICY = {
  requests: plain("maxRequests: 2"),
  pending: plain("maxConnections: 1, maxPendingRequests: 1"),
  retries: plain(
    "maxRetries: 1",
    "retries: { attempts: 2, on: [5xx], backoff: { base: 1ms }, budget: { percent: 100, minPerSecond: 1000 } }",
  ),
  renewed: plain("maxRequestsPerConnection: 3"),
  idle: plain("idleTimeout: 100ms"),
  timed: plain("maxRequests: 100", "timeout: 1s"),
  silent: plain("maxRequests: 100", "idleTimeout: 1s"),
  // Its instance takes connections and never says a word: the handshake does not end.
  mute: { spec: "connectionPool: { connectTimeout: 200ms },", rules: "{ timeout: 4s }" },
};
type Name = keyof typeof POLICY;

let fleet: Fleet;
/** Two requests at once on a connection. */
const services = new Map(
  (Object.keys(POLICY) as Name[])
    .filter((name) => name !== "mute")
    .map((name): [Name, BareService] => [
      name,
      new BareService(name, 1, name === "pending" ? { concurrentStreamsMax: 2 } : {}),
    ]),
);
const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });

function bare(name: Name): BareService {
  const found = services.get(name);
  if (found === undefined) throw new Error(`${name} has no instances`);
  return found;
}

beforeAll(async () => {
  fleet = await Fleet.start(POLICY);
  await Promise.all(Array.from(services.values(), (service) => service.publish(fleet.mesh, fleet.web)));
  const nobody = new BareService("mute", 0);
  await nobody.publish(fleet.mesh, fleet.web, [mute.port]);
});
beforeEach(() => {
  for (const service of services.values()) {
    service.requests.length = 0;
    service.script = [];
    service.connections = 0;
  }
});
afterAll(async () => {
  await fleet.stop();
  mute.stop(true);
  for (const service of services.values()) service.stop();
});

/** Calls that are held up at the service, and what ends them. */
async function hold(name: Name, count: number): Promise<() => Promise<void>> {
  const service = bare(name);
  const arrived = service.requests.length;
  service.script = Array.from({ length: count }, () => "nothing");
  const controllers = Array.from({ length: count }, () => new AbortController());
  const calls = controllers.map(({ signal }) => fleet.call(name, "/", { signal }).catch(() => undefined));
  await eventually(() => expect(service.requests.length).toBe(arrived + count));
  return async () => {
    for (const controller of controllers) controller.abort();
    await Promise.all(calls);
    await eventually(() => {
      for (const { abandoned } of service.requests.slice(arrived, arrived + count)) expect(abandoned).toBe(true);
    });
  };
}

/** What a call beyond a bound is answered with, and how often the bound was met so far. */
async function refused(name: Name, bound: string): Promise<number> {
  const response = await fleet.call(name);
  expect([response.status, response.headers.get("x-envoy-overloaded")]).toEqual([503, "true"]);
  expect(await fleet.metric(`heddle_circuit_open{upstream="shop/${name}"}`)).toBe(1);
  await eventually(async () => {
    const page = await (await fetch(`${fleet.web.admin}/metrics`)).text();
    const own = page.split("\n").filter((line) => line.includes(`destination_service_name="${name}"`));
    expect(own.join("\n")).toContain('response_flags="UO"');
  });
  return fleet.metric(`heddle_upstream_overflow_total{upstream="shop/${name}",bound="${bound}"}`);
}

describe("what goes beyond a bound is answered at once", () => {
  test("of requests under way, also after another snapshot, and no longer once there is room", async () => {
    const release = await hold("requests", 2);
    expect(await refused("requests", "maxRequests")).toBe(1);
    await fleet.redeclare("other", {});
    expect(await refused("requests", "maxRequests")).toBe(2);
    expect(bare("requests").requests).toHaveLength(2);
    await release();
    expect((await fleet.call("requests")).status).toBe(200);
    expect(await fleet.metric('heddle_circuit_open{upstream="shop/requests"}')).toBe(0);
  });

  test("of connections, and then of requests that wait for one", async () => {
    expect((await fleet.call("pending")).status).toBe(200);
    const release = await hold("pending", 2);
    const third = fleet.call("pending");
    await eventually(async () => {
      expect((await fleet.endpoints("pending")).map(({ pendingRequests }) => pendingRequests)).toEqual([1]);
    });
    expect(await refused("pending", "maxPendingRequests")).toBe(1);
    expect(bare("pending").connections).toBe(1);
    expect(await fleet.metric('heddle_upstream_connections_active{upstream="shop/pending"}')).toBe(1);
    await release();
    expect((await third).status).toBe(200);
    expect(bare("pending").connections).toBe(1);
  });

  test("of retries: the answer that asks for one goes to the caller", async () => {
    const service = bare("retries");
    service.script = [{ status: 500 }, "nothing", { status: 502 }];
    const controller = new AbortController();
    const first = fleet.call("retries", "/", { signal: controller.signal }).catch(() => undefined);
    await eventually(() => expect(service.requests).toHaveLength(2));
    expect((await fleet.call("retries")).status).toBe(502);
    expect(service.requests).toHaveLength(3);
    expect(await fleet.metric('heddle_upstream_overflow_total{upstream="shop/retries",bound="maxRetries"}')).toBe(1);
    controller.abort();
    await first;
  });

  test("of retries: a request that is retried has its place until it is over", async () => {
    const service = bare("retries");
    service.script = [{ status: 500 }, { status: 502 }];
    expect((await fleet.call("retries")).status).toBe(200);
    expect(service.requests).toHaveLength(3);
  });
});

describe("a connection", () => {
  test("ends after so many requests, and another takes its place", async () => {
    for (let n = 0; n < 7; n++) expect((await fleet.call("renewed")).status).toBe(200);
    expect(bare("renewed").connections).toBe(3);
    expect((await fleet.call("requests")).status).toBe(200);
    for (let n = 0; n < 7; n++) expect((await fleet.call("requests")).status).toBe(200);
    expect(bare("requests").connections).toBeLessThanOrEqual(1);
  });

  test("without a request ends after its time", async () => {
    expect((await fleet.call("idle")).status).toBe(200);
    fleet.aheadMs += 100;
    await eventually(async () => {
      expect(await fleet.metric('heddle_upstream_connections_active{upstream="shop/idle"}')).toBe(0);
    });
    expect(await fleet.metric('heddle_upstream_connections_active{upstream="shop/requests"}')).toBe(1);
  });

  test("that is not made in time is none: 503, before the request's own time is up", async () => {
    const response = await fleet.call("mute");
    expect(response.status).toBe(503);
    expect(await response.text()).toContain("connect");
  });
});

describe("a request", () => {
  test("that takes too long is answered with 504, and given up", async () => {
    bare("timed").script = ["nothing"];
    expect((await fleet.call("timed")).status).toBe(504);
    await eventually(() => expect(bare("timed").requests[0]?.abandoned).toBe(true));
  });

  test("without a byte either way for too long is answered with 504, or cut where its response has begun", async () => {
    bare("silent").script = ["nothing", "begin"];
    expect((await fleet.call("silent")).status).toBe(504);
    const begun = await fleet.call("silent");
    expect(begun.status).toBe(200);
    await expect(begun.text()).rejects.toThrow();
    await eventually(() => expect(bare("silent").requests.map(({ abandoned }) => abandoned)).toEqual([true, true]));
  });

  test("whose caller has gone is given up", async () => {
    const release = await hold("requests", 1);
    await release();
  });

  test("tells the next hop what is left of its time, and for gRPC as gRPC does", async () => {
    const headers = { "content-type": "application/grpc", "grpc-timeout": "20S" };
    await (await fleet.call("requests", "/", { method: "POST", headers, body: "message" })).text();
    const [request] = bare("requests").requests;
    const told = [
      parseGrpcTimeout(request?.field("grpc-timeout") ?? ""),
      Number(request?.field("x-envoy-expected-rq-timeout-ms")),
    ];
    for (const timeoutMs of told) {
      expect(timeoutMs).toBeGreaterThan(0);
      expect(timeoutMs).toBeLessThanOrEqual(20_000);
    }
  });
});
