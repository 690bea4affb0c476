/** What a sidecar does with connections that were good when they were made, and would not be made now. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { subjects } from "../../../src/nats/subjects.ts";
import type { ServiceSnapshot } from "../../../src/projections/snapshot.ts";
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
