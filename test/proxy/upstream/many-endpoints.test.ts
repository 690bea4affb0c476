/** A service with as many endpoints as one may have: what is done with them must not grow faster than they do. */

import { expect, test } from "bun:test";
import { ENDPOINTS_MAX, type Endpoint } from "../../../src/projections/snapshot.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { ServiceEndpoints } from "../../../src/proxy/upstream/endpoints.ts";
import { buildRing, type Hashable, hashText } from "../../../src/proxy/upstream/hash-table.ts";
import { Pool } from "../../../src/proxy/upstream/pool.ts";

const address = (at: number): string => `10.0.${at >> 8}.${at & 255}`;
const hashables = (count: number): Hashable[] =>
  Array.from({ length: count }, (_, at) => ({ key: `${address(at)}:15006`, weight: 1 }));

/** Places on a ring, counted by asking for an owner and taking none. */
function pointsOf(count: number): { readonly all: number; readonly owners: number } {
  const owners = new Map<number, number>();
  const found = buildRing(hashables(count))(7, (index) => {
    owners.set(index, (owners.get(index) ?? 0) + 1);
    return true;
  });
  expect(found).toBeUndefined();
  return { all: [...owners.values()].reduce((sum, one) => sum + one, 0), owners: owners.size };
}

test("a ring has room for all of them, and no more places than it is quick to build", () => {
  expect(pointsOf(10)).toEqual({ all: 1_600, owners: 10 });
  const { all, owners } = pointsOf(ENDPOINTS_MAX);
  expect(owners).toBe(ENDPOINTS_MAX);
  expect(all).toBeLessThanOrEqual(131_072);
  expect(all).toBeGreaterThan(50_000);
});

test("on a large ring few keys move when one endpoint goes", () => {
  const count = 2_000;
  const [before, after] = [buildRing(hashables(count)), buildRing(hashables(count - 1))];
  const keys = Array.from({ length: 5_000 }, (_, at) => hashText(`user-${at}`));
  const stayed = keys.filter((key) => before(key, () => false) !== count - 1);
  const moved = stayed.filter((key) => before(key, () => false) !== after(key, () => false));
  expect(moved.length / stayed.length).toBeLessThan(0.01);
});

test("to say which of them are left out, each is looked at once", () => {
  let looks = 0;
  const now = (): number => {
    looks++;
    return 1_000;
  };
  const service = new ServiceEndpoints(now);
  const runtime = systemRuntime();
  const endpoints = Array.from({ length: ENDPOINTS_MAX }, (_, at): Endpoint => {
    return { instance: `i-${at}`, host: address(at), port: 15_006, labels: {} };
  });
  service.replace(
    { namespace: "shop", name: "catalog", version: 1, endpoints },
    ({ host, port }) => new Pool({ address: { host, port }, runtime, protocol: "h2" }),
  );
  expect(service.view("avoided")).toEqual([]);
  for (const at of [3, 5_000]) service.all[at]?.observe?.("unreachable", 1);
  looks = 0;
  expect(service.view("avoided").map(({ state }) => state.endpoint.instance)).toEqual(["i-3", "i-5000"]);
  const avoided = service.view().filter((one) => one.avoided !== undefined);
  expect(avoided.map(({ state, avoided: reason, isEjected }) => [state.endpoint.instance, reason, isEjected])).toEqual([
    ["i-3", "unreachable", false],
    ["i-5000", "unreachable", false],
  ]);
  expect(looks).toBeLessThan(10);
  service.closeAll();
});
