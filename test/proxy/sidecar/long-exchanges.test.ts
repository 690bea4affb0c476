/** What takes longer than its route's timeout: a response is cut where it is, a tunnel has no end by then. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { Fleet } from "../../support/fleet.ts";
import { eventually } from "../../support/mesh.ts";

const TIMEOUT_MS = 2_000;
const socket = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
  websocket: { message: (peer, message) => void peer.send(message) },
});

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start({ catalog: { rules: "{ timeout: 2s }" }, chat: { rules: "{ timeout: 2s }" } });
  await fleet.add("catalog", { catalog: {} });
  await fleet.mesh.startSidecar({ service: "shop/chat", appPort: socket.port ?? 0 });
  await eventually(async () => expect(await fleet.endpoints("chat")).toHaveLength(1));
}, 30_000);
afterAll(async () => {
  await fleet.stop();
  await socket.stop(true);
});

test("a response that has begun is cut when its time is up, and the log says why", async () => {
  const encoder = new TextEncoder();
  fleet.behaviour.set(
    "catalog",
    () => new Response(new ReadableStream({ start: (out) => out.enqueue(encoder.encode("x")) })),
  );
  const response = await fleet.call("catalog", "/stream");
  expect(response.status).toBe(200);
  expect(await response.text().catch(() => "cut")).toBe("cut");
  await eventually(async () => {
    const lines = (await readFile(fleet.web.accessLogFile, "utf8")).trim().split("\n");
    const line = lines.find((text) => text.includes("/stream")) ?? "{}";
    expect(JSON.parse(line)).toMatchObject({
      response_flags: "UT",
      response_code_details: "upstream_response_timeout",
    });
  });
}, 20_000);

test("a WebSocket goes on: the timeout is for the answer that opens it", async () => {
  const options = { headers: { host: "chat" } } as unknown as string;
  const client = new WebSocket(`${fleet.web.outbound.replace("http", "ws")}/`, options);
  const startMs = performance.now();
  const ended = Promise.withResolvers<string>();
  client.onclose = () => ended.resolve("closed");
  client.onmessage = () => {
    if (performance.now() - startMs > 1.5 * TIMEOUT_MS) ended.resolve("open");
    else setTimeout(() => client.send("again"), 20);
  };
  client.onopen = () => client.send("first");
  expect(await ended.promise).toBe("open");
  client.close();
}, 20_000);
