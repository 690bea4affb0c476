/** What the directory of upstreams shows of those that come and go. */

import { expect, test } from "bun:test";
import { compileRoutes } from "../../../src/proxy/route/compile.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { UpstreamDirectory } from "../../../src/proxy/sidecar/upstream-directory.ts";
import { SidecarMetrics } from "../../../src/telemetry/sidecar-metrics.ts";
import { snapshot, upstream } from "../fixture.ts";

const NOBODY = { identity: undefined, identityTowards: () => undefined };

test("the gauges of an upstream go when policy no longer knows it", () => {
  const directory = new UpstreamDirectory(systemRuntime(), NOBODY);
  const metrics = new SidecarMetrics();
  const shown = (...names: string[]): string[][] => {
    const upstreams = Object.fromEntries(names.map((name) => [`shop/${name}`, upstream("shop", name)]));
    directory.keep(compileRoutes(snapshot({ upstreams })).upstreams);
    directory.measure(metrics);
    const { circuitOpen, ejections, connections } = metrics;
    return [circuitOpen, ejections, connections].map((family) =>
      [...family.samples()].map(({ labels }) => labels.upstream ?? ""),
    );
  };
  const all = (...names: string[]): string[][] => [names, names, names];
  expect(shown("catalog", "payment")).toEqual(all("shop/catalog", "shop/payment"));
  expect(shown("payment")).toEqual(all("shop/payment"));
  expect(shown("payment", "catalog")).toEqual(all("shop/payment", "shop/catalog"));
  directory.close();
});

test("a service is found by an endpoint's host and its own port, as long as no other is there too", () => {
  const directory = new UpstreamDirectory(systemRuntime(), NOBODY);
  const known = (name: string, port: number) => upstream("shop", name, { ports: [{ port, protocol: "tcp" }] });
  const keep = (...upstreams: ReturnType<typeof known>[]): void => {
    const byRef = Object.fromEntries(upstreams.map((one) => [`shop/${one.name}`, one]));
    directory.keep(compileRoutes(snapshot({ upstreams: byRef })).upstreams);
  };
  const runsAt = (name: string, version: number, ...hosts: string[]): void => {
    const endpoints = hosts.map((host) => ({ instance: `${name}-${host}`, host, port: 15_006, labels: {} }));
    directory.replace({ namespace: "shop", name, version, endpoints });
  };
  const at = (host: string, port: number) => directory.serviceAt({ host, port });

  keep(known("db", 5432), known("cache", 6379));
  runsAt("db", 1, "10.0.0.2", "FD77:0::2");
  runsAt("cache", 1, "10.0.0.2");
  expect([at("10.0.0.2", 5432), at("fd77::2", 5432), at("10.0.0.2", 6379)]).toEqual([
    "shop/db",
    "shop/db",
    "shop/cache",
  ]);
  // Not the sidecar's own port, which speaks for whom it likes; not another's.
  expect([at("10.0.0.2", 15_006), at("10.0.0.3", 5432)]).toEqual([undefined, undefined]);

  runsAt("db", 2, "10.0.0.3");
  expect([at("10.0.0.2", 5432), at("10.0.0.3", 5432)]).toEqual([undefined, "shop/db"]);

  keep(known("db", 5432), known("cache", 5432));
  runsAt("cache", 2, "10.0.0.3");
  expect(at("10.0.0.3", 5432)).toBeUndefined();

  keep(known("cache", 5432));
  expect(at("10.0.0.3", 5432)).toBe("shop/cache");
  directory.close();
});
