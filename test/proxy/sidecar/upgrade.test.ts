/** WebSockets, and whatever else HTTP/1.1 upgrades to, through two hops with HTTP/2 between. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const POLICY = `
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules: [{ allow: { from: [shop/web], methods: [GET] } }]
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - match: [{ path: { exact: /answered } }]
      respond: { status: 200, body: "answered" }
    - {}
`;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ policy: POLICY });
});
afterAll(() => hops.stop());

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
/** RFC 6455 §1.3. */
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const asking = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nhost: catalog\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
  `sec-websocket-version: 13\r\nsec-websocket-key: ${KEY}\r\n\r\n`;

const websocketOverHttp2 = (path: string): OutgoingHttpHeaders => ({
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":scheme": "http",
  ":path": path,
  ":authority": "catalog",
  "sec-websocket-version": "13",
});

test("an upgrade is agreed between client and application, and then bytes flow both ways", async () => {
  const client = await hops.connect();
  client.send(asking("/socket"));
  const head = await client.until("\r\n\r\n");
  expect(head).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(head.toLowerCase()).toContain("upgrade: websocket\r\n");
  expect(head).toContain(`sec-websocket-accept: ${ACCEPT}`);
  for (const word of ["first", "second", "third"]) {
    client.send(word);
    await client.until(word);
  }
  client.halfClose();
  await client.untilEnded();
  client.close();
  for (const of of [hops.web, hops.catalog]) {
    const line = await hops.line("/socket", of);
    expect([line.response_code, line.response_flags]).toEqual([101, "-"]);
    expect([line.bytes_received, line.bytes_sent]).toEqual([16, 16]);
  }
});

test("a client that vanishes takes the tunnel with it", async () => {
  const client = await hops.connect();
  client.send(asking("/vanish"));
  await client.until("\r\n\r\n");
  client.close();
  await hops.line("/vanish", hops.catalog);
  await eventually(async () => expect((await hops.clusters())[0]?.endpoints[0]?.activeRequests).toBe(0));
});

test("an upgrade that the application declines is a response like any other", async () => {
  const client = await hops.connect();
  client.send(asking("/refuse"));
  expect(await client.until("no")).toStartWith("HTTP/1.1 403 ");
  client.send("GET /after HTTP/1.1\r\nhost: catalog\r\n\r\n");
  await client.until('"url":"/after"');
  client.close();
});

test("an application that passes over the wish, and answers 200, has not agreed to anything (RFC 9110 §7.8)", async () => {
  const client = await hops.connect();
  client.send(asking("/ignore"));
  const text = await client.until("ignored");
  expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(text).not.toContain("x-heddle-");
  client.send("GET /after HTTP/1.1\r\nhost: catalog\r\n\r\n");
  await client.until('"url":"/after"');
  client.close();
});

test("a protocol may have a version", async () => {
  const client = await hops.connect();
  client.send(asking("/spdy").replace("upgrade: websocket", "upgrade: SPDY/3.1"));
  const head = await client.until("\r\n\r\n");
  expect(head).toStartWith("HTTP/1.1 101 ");
  expect(head).toContain("\r\nupgrade: spdy/3.1\r\n");
  client.send("first");
  await client.until("first");
  client.close();
});

test("Bun's own WebSocket works through the sidecars", async () => {
  const app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 400 })),
    websocket: { message: (socket, message) => void socket.send(`got ${message}`) },
  });
  const own = await hops.mesh.startSidecar({
    service: "shop/catalog",
    appPort: app.port ?? 0,
    labels: { version: "v9" },
  });
  await hops.reaches(2);
  const answers: string[] = [];
  // Whichever of the two endpoints it reaches speaks WebSocket, but only one of them in frames.
  while (answers.length === 0) {
    const socket = new WebSocket(`ws://127.0.0.1:${hops.outboundPort}/ws`, { headers: { host: "catalog" } });
    const over = Promise.withResolvers<void>();
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => {
      answers.push(String(data));
      socket.close();
    };
    socket.onclose = () => over.resolve();
    await over.promise;
  }
  expect(answers).toEqual(["got hello"]);
  await own.stop();
  await app.stop(true);
});

test("extended CONNECT of an HTTP/2 client reaches an application that knows HTTP/1.1 only", async () => {
  const session = connect(`http://127.0.0.1:${hops.outboundPort}`);
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  const stream = session.request(websocketOverHttp2("/extended"));
  const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
  expect(status).toBe(200);
  stream.write("over h2");
  const echoed = await new Promise((resolve) => stream.once("data", resolve));
  expect(String(echoed)).toBe("over h2");
  stream.end();
  await new Promise((resolve) => stream.once("end", resolve));
  session.close();
});

for (const [path, body] of [
  ["/ignore", "ignored"],
  ["/answered", "answered"],
] as const) {
  test(`an ordinary answer to extended CONNECT is no 2xx, which would be consent: ${path} (RFC 8441 §5)`, async () => {
    const session = connect(`http://127.0.0.1:${hops.outboundPort}`);
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const stream = session.request(websocketOverHttp2(path));
    const head = await new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk;
    expect([Number(head[":status"]), text]).toEqual([501, body]);
    expect(Object.keys(head).filter((name) => name.startsWith("x-heddle-"))).toEqual([]);
    session.close();
  });
}
