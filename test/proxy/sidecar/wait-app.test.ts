/** `--wait-app`: no traffic before the application has been healthy once, and whoever asks is told what is waited for. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/mesh.ts";
import { type SidecarProcess, startSidecarProcess } from "../../support/sidecar-process.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

interface Waiting {
  readonly appPort: number;
  readonly admin: string;
  /** Resolves when it takes traffic. */
  readonly listening: Promise<SidecarProcess>;
}

/** A sidecar of `shop/web` that has said that it waits. */
async function startWaiting(instance: string): Promise<Waiting> {
  const [appPort, adminPort] = [freePort(), freePort()];
  const named = ["--instance", instance, "--state-dir", `${hops.mesh.nats.directory.path}/${instance}`];
  const waiting = ["--wait-app", "--app-health", "tcp", "--admin", `127.0.0.1:${adminPort}`];
  const listening = startSidecarProcess(hops.mesh, "shop/web", appPort, [], [...named, ...waiting]);
  const admin = `http://127.0.0.1:${adminPort}`;
  await eventually(async () => {
    const response = await fetch(`${admin}/healthz/ready`);
    expect([response.status, await response.text()]).toEqual([
      503,
      `not ready: waiting for the application: 127.0.0.1:${appPort} takes no connections\n`,
    ]);
  });
  return { appPort, admin, listening };
}

test("it lives, says what it waits for, and takes traffic when the application is there", async () => {
  const { appPort, admin, listening } = await startWaiting("early");
  let listens = false;
  const told = listening.then(() => {
    listens = true;
  });
  expect([(await fetch(`${admin}/healthz/live`)).status, listens]).toEqual([200, false]);
  const app = Bun.serve({ hostname: "127.0.0.1", port: appPort, fetch: () => new Response("here") });
  await told;
  await eventually(async () => expect((await fetch(`${admin}/healthz/ready`)).status).toBe(200));
  const { child } = await listening;
  child.kill();
  await child.exited;
  await app.stop(true);
}, 40_000);

test("told to quit meanwhile, it ends as it always does", async () => {
  const { admin, listening } = await startWaiting("quitter");
  expect((await fetch(`${admin}/quitquitquit`, { method: "POST" })).status).toBe(200);
  const { child } = await listening;
  expect(await child.exited).toBe(0);
}, 40_000);
