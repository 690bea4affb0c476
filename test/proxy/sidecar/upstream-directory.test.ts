/** What the directory of upstreams shows of those that come and go. */

import { expect, test } from "bun:test";
import { compileRoutes } from "../../../src/proxy/route/compile.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { UpstreamDirectory } from "../../../src/proxy/sidecar/upstream-directory.ts";
import { SidecarMetrics } from "../../../src/telemetry/sidecar-metrics.ts";
import { snapshot, upstream } from "../fixture.ts";

test("the gauges of an upstream go when policy no longer knows it", () => {
  const directory = new UpstreamDirectory(systemRuntime(), () => undefined);
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
