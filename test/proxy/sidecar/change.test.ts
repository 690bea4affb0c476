/** What changes while traffic flows, and must not be noticed by it. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { subjects } from "../../../src/nats/subjects.ts";
import type { InstanceStatus } from "../../../src/projections/snapshot.ts";
import { eventually } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";
import { startTraffic } from "../../support/traffic.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
let second: NodeApp;
beforeAll(async () => {
  [hops, second] = await Promise.all([TwoHops.start(), startNodeApp("v2")]);
});
afterAll(async () => {
  await hops.stop();
  await second.kill();
});

async function instanceOf(response: Response): Promise<string> {
  return ((await response.json()) as { instance: string }).instance;
}

function route(rules: string): Promise<number> {
  const head = "apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: shop, name: catalog }\n";
  return hops.mesh.apply(`${head}spec: { service: catalog, rules: [${rules}] }\n`);
}

/** Web's sidecar enforces this revision. */
async function inForce(revision: number): Promise<void> {
  await eventually(async () => {
    const dump = (await (await fetch(`${hops.web.admin}/config_dump`)).json()) as { status: InstanceStatus };
    expect(dump.status.revision).toBe(revision);
  });
}

test("instances come and go, again and again, and no request fails", async () => {
  const traffic = startTraffic(() => hops.call("/"));
  for (let round = 0; round < 3; round++) {
    const labels = { version: "v2" };
    const other = await hops.mesh.startSidecar({ service: "shop/catalog", appPort: second.port, labels });
    await hops.reaches(2);
    const seen = new Set<string>();
    await eventually(async () => {
      seen.add(await instanceOf(await hops.call("/")));
      expect([...seen].sort()).toEqual(["v1", "v2"]);
    });
    await other.sidecar.drain();
    await other.stop();
    await hops.reaches(1);
  }
  expect(await traffic.stop()).toEqual([]);
  expect(traffic.answered).toBeGreaterThan(50);
}, 30_000);

test("policy is swapped under load: no request fails, and the new revision is reported", async () => {
  const reported: number[] = [];
  const subscription = hops.mesh.control.subscribe(subjects.allStatus, ({ data }) => {
    const status = JSON.parse(new TextDecoder().decode(data)) as InstanceStatus;
    if (status.service === "web") reported.push(status.revision);
  });
  const traffic = startTraffic(() => hops.call("/"));
  for (let round = 1; round <= 15; round++) {
    const revision = await route(`{ timeout: ${round}s }`);
    await eventually(() => expect(reported).toContain(revision));
  }
  expect(await traffic.stop()).toEqual([]);
  expect(reported).toEqual([...reported].sort((one, other) => one - other));
  subscription.stop();
}, 30_000);

test("weights are kept to: a tenth of the traffic is a tenth, give or take chance", async () => {
  const labels = { version: "v2" };
  const other = await hops.mesh.startSidecar({ service: "shop/catalog", appPort: second.port, labels });
  await hops.reaches(2);
  const revision = await route("{ backends: [{ subset: v1, weight: 90 }, { subset: v2, weight: 10 }] }");
  await inForce(revision);
  const requests = 1_000;
  let canary = 0;
  for (let done = 0; done < requests; done += 20) {
    const answers = await Promise.all(Array.from({ length: 20 }, async () => instanceOf(await hops.call("/"))));
    canary += answers.filter((instance) => instance === "v2").length;
  }
  // Five standard deviations of a binomial draw: once in two million runs this is bad luck.
  const deviation = Math.sqrt(requests * 0.1 * 0.9);
  expect(Math.abs(canary - requests * 0.1)).toBeLessThan(5 * deviation);
  await other.stop();
  await hops.reaches(1);
  // What comes next must not depend on whether this change was faster than the end of NATS.
  await inForce(await route("{ timeout: 30s }"));
}, 30_000);

test("NATS is killed under load: no request fails, and policy goes on once it is back", async () => {
  const traffic = startTraffic(() => hops.call("/"));
  await hops.mesh.nats.kill9();
  const before = traffic.answered;
  await eventually(() => expect(traffic.answered).toBeGreaterThan(before + 200));
  await hops.mesh.nats.restart();
  await eventually(() => expect(hops.mesh.control.connected).toBe(true));
  expect(await traffic.stop()).toEqual([]);
  const revision = await route("{ timeout: 7s }");
  await inForce(revision);
}, 30_000);
