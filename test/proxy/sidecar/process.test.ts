/** The sidecar as a process of its own, through the command line: how it leaves, and how it comes back without NATS. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { writeCredentials } from "../../../src/nats/credentials.ts";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const MAIN = join(import.meta.dir, "../../../src/cli/main.ts");

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

interface SidecarProcess {
  readonly outboundPort: number;
  readonly child: Bun.Subprocess<"ignore", "ignore", "pipe">;
}

/** Runs a sidecar of `service` whose state outlives it. */
async function run(service: string, appPort: number, labels: readonly string[] = []): Promise<SidecarProcess> {
  const [namespace = "", name = ""] = service.split("/");
  const { path } = hops.mesh.nats.directory;
  const creds = join(path, `${name}.creds`);
  await writeCredentials(creds, await hops.mesh.nats.mintService(namespace, name));
  const anywhere = "127.0.0.1:0";
  const child = Bun.spawn(
    [
      ...[process.execPath, MAIN, "sidecar", "--service", service, "--app", `127.0.0.1:${appPort}`],
      ...["--inbound", anywhere, "--outbound", anywhere, "--admin", anywhere, "--health", "off", "--metrics", "off"],
      ...["--advertise", "127.0.0.1", "--nats-url", hops.mesh.nats.url, "--creds", creds, "--app-health", "none"],
      ...["--instance", `${name}-process`, "--state-dir", join(path, `${name}-process`)],
      ...labels.flatMap((label) => ["--label", label]),
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { ...process.env, HEDDLE_LOG: "info" } },
  );
  const outboundPort = await listeningOn(child.stderr);
  return { child, outboundPort };
}

/** The outbound port that the log tells, which is read on for as long as the process lives. */
async function listeningOn(log: ReadableStream<Uint8Array>): Promise<number> {
  const port = Promise.withResolvers<number>();
  let text = "";
  const read = async (): Promise<void> => {
    for await (const chunk of log) {
      text += new TextDecoder().decode(chunk);
      const found = /"outbound":"127\.0\.0\.1:(\d+)"/.exec(text)?.[1];
      if (found !== undefined) port.resolve(Number(found));
    }
    port.reject(new Error(`the sidecar ended: ${text}`));
  };
  void read();
  return port.promise;
}

const callAt = (port: number, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}${path}`, { headers: { host: "catalog" } });

test("SIGTERM: what is under way finishes, new calls go elsewhere, and the exit code is 0", async () => {
  const { child } = await run("shop/catalog", hops.app.port, ["version=v2"]);
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
  const first = await run("shop/web", 1);
  await eventually(async () => expect((await callAt(first.outboundPort, "/")).status).toBe(200));
  first.child.kill("SIGKILL");
  await first.child.exited;
  await hops.mesh.nats.kill9();
  const second = await run("shop/web", 1);
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
