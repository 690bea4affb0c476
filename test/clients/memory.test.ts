/** What goes through two sidecars, each a process of its own, costs them bounded memory, whatever its size. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { type SidecarProcess, startSidecarProcess } from "../support/sidecar-process.ts";
import { needs, run } from "./tool.ts";

const MEGABYTE = 1024 * 1024;
const LARGE_BYTES = 100 * MEGABYTE;
const GROWTH_BYTES_MAX = 60 * MEGABYTE;

const POLICY = ["web", "app"]
  .map(
    (name) => `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 8080, protocol: http }] }
---
`,
  )
  .join("");

const ALLOW = `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: app }
spec: { service: app, rules: [{ allow: { from: [shop/web] } }] }
`;

/** A figure of the kernel about a process, in bytes. */
async function memoryOf({ child }: SidecarProcess, figure: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  return Number(new RegExp(`^${figure}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
}

const [title, missing] = needs("curl", "memory");
describe.skipIf(missing || process.platform !== "linux")(title, () => {
  let mesh: TestMesh;
  let app: NodeApp;
  let sidecars: SidecarProcess[];
  let url: string;

  beforeAll(async () => {
    [mesh, app] = await Promise.all([TestMesh.start(), startNodeApp()]);
    await mesh.apply(POLICY + ALLOW);
    const [web, called] = await Promise.all([
      startSidecarProcess(mesh, "shop/web", 1),
      startSidecarProcess(mesh, "shop/app", app.port),
    ]);
    sidecars = [web, called];
    url = `http://127.0.0.1:${web.outboundPort}`;
    await eventually(async () => expect((await fetch(url, { headers: { host: "app" } })).status).toBe(200));
  }, 20_000);
  afterAll(async () => {
    for (const { child } of sidecars) child.kill("SIGKILL");
    await Promise.all(sidecars.map(({ child }) => child.exited));
    await mesh.stop();
    await app.kill();
  });

  test.each(["--http1.1", "--http2-prior-knowledge"])(
    "a hundred megabytes up, down, and both (%s)",
    async (flag) => {
      const curl = `curl -sS -m 20 ${flag} -H "host: app"`;
      const move = async (bytes: number): Promise<void> => {
        const zeroes = `head -c ${bytes} /dev/zero`;
        const commands = [
          `${zeroes} | ${curl} -T - ${url}/digest`,
          `${curl} "${url}/stream?bytes=${bytes}" | wc -c`,
          `${zeroes} | ${curl} -T - ${url}/echo | wc -c`,
        ];
        for (const command of commands) expect((await run(["sh", "-c", command])).out).toContain(String(bytes));
      };
      // Compiled code and the heap's own slack come with the first bytes, and do not grow with their number.
      await move(LARGE_BYTES / 10);
      const before = await Promise.all(sidecars.map((sidecar) => memoryOf(sidecar, "VmRSS")));
      await move(LARGE_BYTES);
      for (const [index, sidecar] of sidecars.entries()) {
        const growth = (await memoryOf(sidecar, "VmHWM")) - (before[index] ?? 0);
        expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
      }
    },
    30_000,
  );
});
