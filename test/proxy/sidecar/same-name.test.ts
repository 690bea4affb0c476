/** Two sidecars that go by one name, each a process with a state directory of its own, as on two machines. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../../support/mesh.ts";
import { type SidecarProcess, startSidecarProcess } from "../../support/sidecar-process.ts";
import { TwoHops } from "../../support/two-hops.ts";

const NAME = "catalog-process";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

function start(machine: string): Promise<SidecarProcess> {
  const stateDirectory = join(hops.mesh.nats.directory.path, machine);
  return startSidecarProcess(hops.mesh, "shop/catalog", hops.app.port, [], ["--state-dir", stateDirectory]);
}

/** Where callers are sent who mean the instance of that name. */
function announced(): string | undefined {
  const found = hops.mesh.endpoints.registry.endpointsOf("shop/catalog").find(({ instance }) => instance === NAME);
  return found && `${found.host}:${found.port}`;
}

function inboundOf({ log }: SidecarProcess): string {
  return /"inbound":"([^"]+)"/.exec(log())?.[1] ?? "";
}

async function isAnnounced(sidecar: SidecarProcess): Promise<void> {
  await eventually(() => expect(announced()).toBe(inboundOf(sidecar)), 30_000);
}

async function killed({ child }: SidecarProcess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

test("the first keeps its callers, the second says where the other is; a restart has the name at once", async () => {
  const first = await start("one");
  await isAnnounced(first);
  const second = await start("other");
  // Until the first one speaks again, the second passes for its restart.
  await eventually(() => {
    const rivals = hops.mesh.endpoints.registry.rivalsOf("shop/catalog", NAME, Date.now());
    expect(rivals).toEqual([inboundOf(second)]);
  }, 30_000);
  await isAnnounced(first);
  const complaint = `another sidecar of shop/catalog, at ${inboundOf(first)}, has the name ${NAME}`;
  await eventually(() => expect(second.log()).toContain(complaint), 30_000);
  const ready = await fetch(`http://127.0.0.1:${second.adminPort}/healthz/ready`);
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining(complaint)]);

  // The word of the second that it goes does not take the first one away.
  second.child.kill("SIGTERM");
  expect(await second.child.exited).toBe(0);
  expect(announced()).toBe(inboundOf(first));

  await killed(first);
  const again = await start("one");
  await isAnnounced(again);
  await killed(again);
}, 90_000);
