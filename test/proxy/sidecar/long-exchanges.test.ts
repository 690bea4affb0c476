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
  fleet = await Fleet.start({
    catalog: { rules: "{ timeout: 2s }" },
    chat: { rules: "{ timeout: 2s }" },
    quiet: { rules: "{ idleTimeout: 2s }" },
  });
  await fleet.add("catalog", { catalog: {} });
  await fleet.mesh.startSidecar({ service: "shop/chat", appPort: socket.port ?? 0 });
  await fleet.mesh.startSidecar({ service: "shop/quiet", appPort: socket.port ?? 0 });
  await eventually(async () => expect(await fleet.endpoints("chat")).toHaveLength(1));
  await eventually(async () => expect(await fleet.endpoints("quiet")).toHaveLength(1));
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

/** The runtime's own option for headers is missing from the standard's types. */
function webSocketTo(service: string): WebSocket {
  const options = { headers: { host: service } } as unknown as string;
  return new WebSocket(`${fleet.web.outbound.replace("http", "ws")}/`, options);
}

test("a WebSocket goes on: the timeout is for the answer that opens it", async () => {
  const client = webSocketTo("chat");
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

test("one on which nobody speaks ends by its route's idleTimeout", async () => {
  const client = webSocketTo("quiet");
  const events: string[] = [];
  client.onopen = () => void events.push("open");
  const closed = new Promise<void>((resolve) => {
    client.onclose = () => resolve();
  });
  await closed;
  expect(events).toEqual(["open"]);
}, 20_000);
