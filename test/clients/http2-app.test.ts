/** An application on HTTP/2 (Node's own), asked over both sidecars by clients of either version. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { CalledService } from "../support/called-service.ts";
import { RawClient } from "../support/raw-client.ts";

const server = createServer({ settings: { enableConnectProtocol: true } });
/** What the application was told, by path. */
const seen = new Map<string, IncomingHttpHeaders>();
let service: CalledService;

beforeAll(async () => {
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    seen.set(headers[":path"] ?? "", headers);
    if (headers[":protocol"] !== undefined) {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
      return;
    }
    const length = headers[":path"] === "/sized" ? { "content-length": "4" } : {};
    stream.respond({ ":status": 200, ...length }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "17" }));
    stream.end("body");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  service = await CalledService.start({ protocol: "http2", port: (server.address() as AddressInfo).port });
});
afterAll(async () => {
  await service.stop();
  server.close();
});

async function get(path: string, until: string): Promise<string> {
  const client = await RawClient.connect(service.outboundPort);
  client.send(`GET ${path} HTTP/1.1\r\nhost: app\r\n\r\n`);
  const text = await client.until(until);
  client.close();
  return text;
}

test("trailers that were not announced reach HTTP/1.1 in chunks, and are dropped behind a length (RFC 9110 §6.5.1)", async () => {
  const inChunks = await get("/chunks", "\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 17\r\n\r\n");
  expect(inChunks).not.toContain("content-length");
  const sized = await get("/sized", "body");
  expect(sized).toContain("\r\ncontent-length: 4\r\n");
  expect(sized).toEndWith("\r\n\r\nbody");
});

test("over HTTP/2 they arrive beside a length too", async () => {
  const session = connect(`http://127.0.0.1:${service.outboundPort}`);
  const stream = session.request({ ":path": "/sized", ":authority": "app" });
  const [trailers] = (await once(stream.resume(), "trailers")) as [IncomingHttpHeaders];
  expect(trailers["x-sum"]).toBe("17");
  session.close();
});

test("extended CONNECT stays what it is, and neither end sees a field of the mesh's own", async () => {
  const session = connect(`http://127.0.0.1:${service.outboundPort}`);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":path": "/socket",
    ":authority": "app",
  });
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders];
  expect(Number(head[":status"])).toBe(200);
  stream.write("ping");
  expect(String((await once(stream, "data"))[0])).toBe("ping");
  const asked = seen.get("/socket") ?? {};
  expect([asked[":method"], asked[":protocol"]]).toEqual(["CONNECT", "websocket"]);
  for (const headers of [head, asked])
    expect(Object.keys(headers).filter((name) => /^x-heddle-/.test(name))).toEqual([]);
  stream.close();
  session.close();
});
