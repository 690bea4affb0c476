/** The sidecar as a process of its own, through the command line: how it leaves, and how it comes back without NATS. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeCredentials } from "../../../src/nats/credentials.ts";
import { eventually } from "../../support/mesh.ts";
import { startSidecarProcess } from "../../support/sidecar-process.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const callAt = (port: number, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: "catalog" } });

test("SIGTERM: what is under way finishes, new calls go elsewhere, and the exit code is 0", async () => {
  const { child } = await startSidecarProcess(hops.mesh, "shop/catalog", hops.app.port, ["version=v2"]);
  await hops.reaches(2);
  // As many as make sure that both instances are at work.
  const slow = Array.from({ length: 8 }, () => hops.call("/slow?ms=2500"));
  await Bun.sleep(100);
  child.kill("SIGTERM");
  await hops.reaches(1);
  expect(await Promise.all(slow.map(async (response) => (await response).status))).toEqual(slow.map(() => 200));
  expect(await child.exited).toBe(0);
  expect((await hops.call("/")).status).toBe(200);
}, 30_000);

test("killed and started again while NATS is away, it serves from what it kept on disk", async () => {
  const first = await startSidecarProcess(hops.mesh, "shop/web", 1);
  await eventually(async () => expect((await callAt(first.outboundPort, "/")).status).toBe(200));
  // What it serves by, it has written down a moment later.
  const kept = join(hops.mesh.nats.directory.path, "web-process");
  await eventually(async () => {
    await readFile(join(kept, "identity.json"));
    expect(await readFile(join(kept, "state.json"), "utf8")).toContain('"instance":"catalog');
  });
  first.child.kill("SIGKILL");
  await first.child.exited;
  await hops.mesh.nats.kill9();
  const second = await startSidecarProcess(hops.mesh, "shop/web", 1);
  await eventually(async () => expect((await callAt(second.outboundPort, "/again")).status).toBe(200));
  expect((await hops.app.seen()).seen).toContain("GET /again");
  // Once NATS is back it hears of policy again.
  await hops.mesh.nats.restart();
  await eventually(() => expect(hops.mesh.control.connected).toBe(true));
  await hops.mesh.apply(`
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ match: [{ path: { exact: /only } }] }] }
`);
  await eventually(async () => expect((await callAt(second.outboundPort, "/again")).status).toBe(404));
  second.child.kill("SIGTERM");
  expect(await second.child.exited).toBe(0);
}, 40_000);

test("a second sidecar of the same name ends, and the first keeps what is its own", async () => {
  const { child, outboundPort } = await startSidecarProcess(hops.mesh, "shop/web", 1);
  await expect(startSidecarProcess(hops.mesh, "shop/web", 1)).rejects.toThrow(
    `process ${child.pid} is the sidecar web-process already: stop that one first`,
  );
  await eventually(async () => expect((await callAt(outboundPort, "/only")).status).toBe(200));
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  const next = await startSidecarProcess(hops.mesh, "shop/web", 1);
  next.child.kill("SIGKILL");
  await next.child.exited;
}, 30_000);

test("where it cannot listen it says so, and ends", async () => {
  const inUse = `127.0.0.1:${hops.app.port}`;
  for (const listener of ["--inbound", "--outbound", "--admin", "--health", "--metrics"]) {
    const starting = startSidecarProcess(hops.mesh, "shop/web", 1, [], [listener, inUse]);
    await expect(starting).rejects.toThrow(`cannot listen on ${inUse}: another process does already`);
  }
}, 30_000);

test("another service's credentials are refused before anything is tried with them", async () => {
  const creds = join(hops.mesh.nats.directory.path, "foreign.creds");
  await writeCredentials(creds, await hops.mesh.nats.mintService("shop", "payment"));
  const starting = startSidecarProcess(hops.mesh, "shop/web", 1, [], ["--creds", creds]);
  await expect(starting).rejects.toThrow("is of shop/payment, not of shop/web");
});

test("a service that nobody declared is said, and a closed terminal drains as SIGTERM does", async () => {
  const { child, log } = await startSidecarProcess(hops.mesh, "shop/ghost", 1);
  await eventually(() => expect(log()).toContain("not ready yet: no snapshot yet: is shop/ghost declared"), 30_000);
  child.kill("SIGHUP");
  expect(await child.exited).toBe(0);
}, 60_000);
