/** HTTP clients of other languages and libraries, through both sidecars. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CalledService } from "../support/called-service.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../support/node-app.ts";
import { startNode } from "./node-child.ts";
import { needs, run } from "./tool.ts";

let app: NodeApp;
let service: CalledService;

beforeAll(async () => {
  app = await startNodeApp();
  service = await CalledService.start({ protocol: "http", port: app.port });
});
afterAll(async () => {
  await service.stop();
  await app.kill();
});

const [nodeTitle, noNode] = needs("node", "Node");
test.skipIf(noNode).each(["agent", "fetch"])(
  `${nodeTitle}: every request over kept connections is answered (%s)`,
  async (kind) => {
    const client = await startNode("http-client.mjs", String(service.boundPort));
    expect(await client.ask({ kind, count: 2_000, workers: 32 })).toEqual({ answered: 2_000, failures: [] });
    await client.kill();
    await eventually(async () => {
      const clusters = await service.clusters();
      expect(clusters[0]?.endpoints[0]?.activeRequests).toBe(0);
    });
  },
  20_000,
);

const [pythonTitle, noPython] = needs("python3", "Python's standard library");
test.skipIf(noPython)(pythonTitle, async () => {
  const script = join(import.meta.dir, "python_client.py");
  const { out, err } = await run(["python3", script, String(service.outboundPort)]);
  expect(err).toBe("");
  expect(JSON.parse(out)).toEqual({ kept: true, chunked: true, proxy: "/by-urllib", refused: [404, "heddle"] });
});

const [chromiumTitle, noChromium] = needs("chromium", "Chromium");
test.skipIf(noChromium)(
  `${chromiumTitle} loads a page and what the page loads`,
  async () => {
    const page = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/data") return Response.json({ from: request.headers.get("x-forwarded-client-cert") });
        const script =
          "fetch('/data').then((r) => r.json()).then(({ from }) => { document.body.textContent = from; });";
        return new Response(`<body>loading<script>${script}</script>`, { headers: { "content-type": "text/html" } });
      },
    });
    const profile = await mkdtemp(join(tmpdir(), "heddle-chromium-"));
    const pageService = await CalledService.start({ protocol: "http", port: page.port ?? 0 });
    const proxy = `--proxy-server=http://127.0.0.1:${pageService.outboundPort}`;
    const options = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, proxy];
    const { out } = await run(["chromium", ...options, "--virtual-time-budget=5000", "--dump-dom", "http://app.shop/"]);
    expect(out).toContain("URI=spiffe://mesh.local/ns/shop/sa/web</body>");
    await pageService.stop();
    await page.stop(true);
    await rm(profile, { recursive: true, force: true });
  },
  30_000,
);
