/** Load generators, and nghttp, against web's listener: thousands of requests, of which none may fail. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CalledService } from "../support/called-service.ts";
import { needs, run } from "./tool.ts";

let service: CalledService;
let app: ReturnType<typeof Bun.serve>;
let url: string;

beforeAll(async () => {
  app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const body = await request.bytes();
      return new Response(body.length > 0 ? body : "hello");
    },
  });
  service = await CalledService.start({ protocol: "http", port: app.port ?? 0 });
  // The listener of one service: load generators cannot all set the host.
  url = `http://127.0.0.1:${service.boundPort}/`;
});
afterAll(async () => {
  await service.stop();
  await app.stop(true);
});

const [h2loadTitle, noH2load] = needs("h2load", "h2load");
describe.skipIf(noH2load)(h2loadTitle, () => {
  test.each([
    ["many streams over few connections", ["-n", "4000", "-c", "4", "-m", "100"]],
    ["more streams at once than a connection takes", ["-n", "2000", "-c", "1", "-m", "500"]],
    ["many connections", ["-n", "2000", "-c", "100", "-m", "1"]],
    ["small windows", ["-n", "500", "-c", "2", "-m", "10", "-w", "10", "-W", "10"]],
    ["uploads", ["-n", "300", "-c", "2", "-m", "20", "-d", import.meta.path]],
    ["HTTP/1.1", ["--h1", "-n", "3000", "-c", "20"]],
  ])("%s", async (_name, options) => {
    const { out } = await run(["h2load", ...options, url]);
    const total = options[options.indexOf("-n") + 1];
    expect(out).toContain(`${total} succeeded, 0 failed, 0 errored, 0 timeout`);
    expect(out).toContain(`status codes: ${total} 2xx, 0 3xx, 0 4xx, 0 5xx`);
  });
});

const [nghttpTitle, noNghttp] = needs("nghttp", "nghttp");
describe.skipIf(noNghttp)(nghttpTitle, () => {
  test("many streams at once, with padding, priorities and trailers", async () => {
    const { code, out } = await run([
      "nghttp",
      "-nsv",
      "-m",
      "40",
      "-b",
      "64",
      "--trailer",
      "x-sum: 1",
      "-d",
      import.meta.path,
      url,
    ]);
    expect(code).toBe(0);
    expect(out.match(/:status: 200/g)).toHaveLength(40);
  });

  test("an upgrade from HTTP/1.1 is not taken up, and answered all the same", async () => {
    const { out } = await run(["nghttp", "-vu", url]);
    expect(out).toContain("HTTP/1.1 200 ");
  });
});

const [wrkTitle, noWrk] = needs("wrk", "wrk");
test.skipIf(noWrk)(`${wrkTitle}: connections that are kept, and no errors`, async () => {
  const { code, out } = await run(["wrk", "-t1", "-c32", "-d2s", url]);
  expect(code).toBe(0);
  expect(out).not.toContain("Socket errors");
  expect(out).not.toContain("Non-2xx");
  expect(Number(/(\d+) requests in/.exec(out)?.[1])).toBeGreaterThan(500);
});
