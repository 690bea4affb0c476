/** WebSockets of a real implementation, client and server, through both sidecars. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CalledService } from "../support/called-service.ts";
import { type NodeChild, startNode } from "./node-child.ts";
import { needs } from "./tool.ts";

const MEGABYTE = 1024 * 1024;

const [title, missing] = needs("node", "WebSocket");
describe.skipIf(missing)(title, () => {
  let server: NodeChild;
  let service: CalledService;
  let client: NodeChild;

  beforeAll(async () => {
    server = await startNode("ws-server.mjs");
    service = await CalledService.start({ protocol: "http", port: Number(server.greeting) });
    client = await startNode("ws-client.mjs", `ws://127.0.0.1:${service.outboundPort}/socket`, "app");
  });
  afterAll(async () => {
    await client.kill();
    await service.stop();
    await server.kill();
  });

  test.each([true, false])("messages from nothing to megabytes come back (compressed: %p)", async (compress) => {
    const sizes = [0, 1, 125, 126, 65_535, 65_536, MEGABYTE, 5 * MEGABYTE];
    const answer = await client.ask({ kind: "echo", sizes, compress });
    const extensions = compress ? "permessage-deflate" : "";
    expect(answer).toEqual({ same: sizes.map(() => true), extensions, code: 1000, words: "" });
  });

  test("the application sees who calls", async () => {
    expect(await client.ask({ kind: "headers" })).toMatchObject({
      host: "app",
      "x-forwarded-client-cert": "By=spiffe://mesh.local/ns/shop/sa/app;URI=spiffe://mesh.local/ns/shop/sa/web",
    });
  });

  test("ping and pong, from either side", async () => {
    expect(await client.ask({ kind: "pings" })).toEqual({ payload: "from the client", heard: "pong from the server" });
  });

  test("close codes and their reasons pass both ways", async () => {
    for (const code of [1000, 1011, 4321]) {
      expect(await client.ask({ kind: "closedByServer", code })).toEqual({ code, words: "as you asked" });
    }
    const words = "tired – müde";
    expect(await client.ask({ kind: "closedByClient", code: 4001, words })).toEqual({ code: 4001, reason: words });
  });

  test("a server that vanishes is an abnormal end for the client", async () => {
    expect(await client.ask({ kind: "vanish" })).toEqual({ code: 1006 });
  });

  test("many at once", async () => {
    expect(await client.ask({ kind: "many", count: 100, rounds: 10 })).toBe(1000);
  });

  test("a refused one gets the mesh's answer", async () => {
    expect(await client.ask({ kind: "refused" })).toEqual({ status: 404, server: "heddle" });
  });
});
