/** What a sidecar does with connections that were good when they were made, and would not be made now. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { subjects } from "../../../src/nats/subjects.ts";
import type { InstanceStatus, ServiceSnapshot } from "../../../src/projections/snapshot.ts";
import { testAuthority } from "../../support/identities.ts";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

async function snapshotInForce(): Promise<ServiceSnapshot> {
  const dump = (await (await fetch(`${hops.catalog.admin}/config_dump`)).json()) as { snapshot: ServiceSnapshot };
  return dump.snapshot;
}

test("a root that is trusted no longer takes with it the connections that it vouched for", async () => {
  expect((await hops.call("/")).status).toBe(200);
  const { rootPem } = await testAuthority("another");
  const before = await snapshotInForce();
  const revision = before.revision + 1_000;
  const trust = (trustBundle: readonly string[], later: number): void => {
    const snapshot = { ...before, trustBundle, revision: revision + later };
    hops.mesh.control.publish(subjects.config("shop", "catalog"), Buffer.from(JSON.stringify(snapshot)));
  };
  // One root more changes nothing for anybody.
  trust([...before.trustBundle, rootPem], 0);
  await eventually(async () => expect((await snapshotInForce()).revision).toBe(revision));
  expect((await hops.call("/")).status).toBe(200);
  trust([rootPem], 1);
  await eventually(async () => expect((await hops.call("/")).status).toBe(503));
});

test("a sidecar whose certificate has expired says so, and asks its callers to go elsewhere", async () => {
  let aheadMs = 0;
  const reported: string[] = [];
  const subscription = hops.mesh.control.subscribe(subjects.allStatus, ({ data }) => {
    const status = JSON.parse(new TextDecoder().decode(data)) as InstanceStatus;
    if (status.labels.version === "v2") reported.push(status.state);
  });
  const other = await hops.mesh.startSidecar({
    service: "shop/catalog",
    appPort: hops.app.port,
    labels: { version: "v2" },
    wallMs: () => Date.now() + aheadMs,
  });
  await eventually(() => expect([other.sidecar.notReady(), reported.at(-1)]).toEqual([undefined, "ready"]));
  aheadMs = 365 * 24 * 3_600_000;
  expect(other.sidecar.notReady()).toStartWith("the certificate has expired");
  await eventually(() => expect(reported.at(-1)).toBe("unhealthy"));
  subscription.stop();
  await other.stop();
}, 10_000);
