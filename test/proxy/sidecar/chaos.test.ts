/** Clients that leave at any moment, in any state: nothing of them stays, and nobody else notices. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../../support/mesh.ts";
import { startTraffic } from "../../support/traffic.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const REQUESTS = [
  "GET / HTTP/1.1\r\nhost: catalog\r\n\r\n",
  "GET /stream?bytes=3000000 HTTP/1.1\r\nhost: catalog\r\n\r\n",
  "GET /drip?pieces=30 HTTP/1.1\r\nhost: catalog\r\n\r\n",
  "GET /never HTTP/1.1\r\nhost: catalog\r\n\r\n",
  "GET /half HTTP/1.1\r\nhost: catalog\r\n\r\n",
  `POST /digest HTTP/1.1\r\nhost: catalog\r\ncontent-length: 90000\r\n\r\n${"x".repeat(50_000)}`,
  `POST /echo HTTP/1.1\r\nhost: catalog\r\ntransfer-encoding: chunked\r\n\r\n8000\r\n${"x".repeat(0x8000)}\r\n`,
  "POST /early HTTP/1.1\r\nhost: catalog\r\ncontent-length: 100000\r\n\r\nxxx",
  "POST /digest HTTP/1.1\r\nhost: catalog\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
  "GET /socket HTTP/1.1\r\nhost: catalog\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: eA==\r\n\r\n",
  "GET / HTTP/1.1\r\nhost: cat",
];

test("300 clients leave in the middle of something", async () => {
  const traffic = startTraffic(() => hops.call("/"), 2);
  for (let round = 0; round < 15; round++) {
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const client = await hops.connect();
        client.send(REQUESTS[(round + index) % REQUESTS.length] ?? "");
        await Bun.sleep((round * 7 + index * 3) % 40);
        if (index % 5 === 0) client.halfClose();
        else client.close();
        await Bun.sleep(5);
        client.close();
      }),
    );
  }
  expect(await traffic.stop()).toEqual([]);
  await eventually(async () => {
    const [catalog] = await hops.clusters();
    expect(catalog?.endpoints.map(({ activeRequests, pendingRequests }) => [activeRequests, pendingRequests])).toEqual([
      [0, 0],
    ]);
  });
  // Whoever left was closed towards the application as well: it has no request that is still open.
  await eventually(async () => {
    const { seen, aborted } = await hops.app.seen();
    const never = (urls: string[], prefix: string): number => urls.filter((url) => url === `${prefix}/never`).length;
    expect(never(aborted, "")).toBe(never(seen, "GET "));
  });
}, 30_000);
