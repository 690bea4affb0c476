/** A mesh in the middle of an upgrade: what those of a later version say to a sidecar and to the control plane. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { subjects } from "../../../src/nats/subjects.ts";
import { type InstanceStatus, quotaReply, quotaRequest } from "../../../src/projections/snapshot.ts";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const LIMIT = `
apiVersion: heddle/v1
kind: RateLimit
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ requests: 10, per: 1h, scope: mesh }] }
`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

async function dump(): Promise<{ snapshot: object; status: InstanceStatus }> {
  return (await (await fetch(`${hops.web.admin}/config_dump`)).json()) as { snapshot: object; status: InstanceStatus };
}

test("a snapshot that the sidecar could enforce only in part is refused, and control hears why", async () => {
  const heard: InstanceStatus[] = [];
  const subscription = hops.mesh.control.subscribe(subjects.allStatus, ({ data }) => {
    const status = JSON.parse(new TextDecoder().decode(data)) as InstanceStatus;
    if (status.service === "web") heard.push(status);
  });
  const { snapshot, status } = await dump();
  const later = { ...snapshot, revision: status.revision + 1, quarantine: { from: "*" } };
  hops.mesh.control.publish(subjects.config("shop", "web"), encode(later));
  const reason = 'this version does not understand it: Unrecognized key: "quarantine"';
  await eventually(() => expect(heard.map(({ rejected }) => rejected?.reason)).toContain(reason));
  const refusal = heard.find(({ rejected }) => rejected !== undefined);
  expect(refusal).toMatchObject({ revision: status.revision, rejected: { revision: status.revision + 1, reason } });
  expect((await hops.call("/")).status).toBe(200);
  const route = "apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: shop, name: catalog }\n";
  await hops.mesh.apply(`${route}spec: { service: catalog, rules: [{ timeout: 3s }] }\n`);
  const understood = await hops.mesh.apply(`${route}spec: { service: catalog, rules: [{ timeout: 4s }] }\n`);
  await eventually(() => expect(heard.at(-1)?.revision).toBe(understood));
  expect(heard.at(-1)?.rejected).toBeUndefined();
  subscription.stop();
});

test("endpoints with more than this version knows are taken up", async () => {
  const { port } = hops.catalog.sidecar.inboundAddress;
  const endpoint = { instance: "later", host: "127.0.0.1", port, labels: { version: "v1" }, zone: "b" };
  const set = { namespace: "shop", name: "catalog", version: Date.now() * 2, endpoints: [endpoint], sum: "x" };
  hops.mesh.control.publish(subjects.endpoints("shop", "catalog"), encode(set));
  await eventually(async () => expect((await hops.clusters())[0]?.endpoints[0]?.instance).toBe("later"));
  expect((await hops.call("/")).status).toBe(200);
});

test("tokens of a shared limit are granted to whoever asks with more than control knows", async () => {
  await hops.mesh.apply(LIMIT);
  const lease = { document: "catalog", rule: 0, bucket: "", owed: 0, wanted: 3, priority: "high" };
  const data = encode({ leases: [lease], instance: "later" });
  const reply = await hops.mesh.control.request(subjects.quota("shop", "catalog"), data, { timeoutMs: 10_000 });
  const { grants } = quotaReply.parse(JSON.parse(new TextDecoder().decode(reply)));
  expect(grants).toEqual([{ granted: 3, retryAfterMs: 0 }]);
});

test("what a later version adds to a question or an answer about tokens is left out", () => {
  const lease = { document: "catalog", rule: 0, bucket: "", owed: 0, wanted: 3 };
  expect(quotaRequest.parse({ leases: [{ ...lease, priority: 1 }], z: 1 })).toEqual({ leases: [lease] });
  const grant = { granted: 1, retryAfterMs: 0 };
  expect(quotaReply.parse({ grants: [{ ...grant, until: 1 }], z: 1 })).toEqual({ grants: [grant] });
});
