/** Responses that the application begins well and then breaks: what is good of them arrives, and nobody takes it for all. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:http2";
import { CalledService } from "../../support/called-service.ts";
import { RawClient } from "../../support/raw-client.ts";
import { type ScriptedServer, scriptedServer } from "../../support/scripted-server.ts";

/** A good chunk, and one whose size is none, in one packet. */
const BROKEN = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";

let app: ScriptedServer;
let service: CalledService;
beforeAll(async () => {
  app = scriptedServer(BROKEN);
  service = await CalledService.start({ protocol: "http", port: app.port });
});
afterAll(async () => {
  await service.stop();
  app.close();
});

test("over HTTP/1.1, the head and the good chunk arrive, and no last chunk does", async () => {
  const client = await RawClient.connect(service.outboundPort);
  client.send("GET / HTTP/1.1\r\nhost: app\r\nx-request-id: broken-1\r\n\r\n");
  const text = await client.untilEnded();
  expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(text).toEndWith("\r\n\r\n5\r\nhello\r\n");
  expect((await service.line("broken-1")).response_code_details).toStartWith("upstream_reset_after_response_started");
  client.close();
});

test("over HTTP/2, they arrive before the stream is reset", async () => {
  const session = connect(`http://127.0.0.1:${service.outboundPort}`);
  const stream = session.request({ ":path": "/", ":authority": "app" });
  const status = new Promise((resolve) => stream.once("response", (head) => resolve(head[":status"])));
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  const broken = new Promise((resolve) => stream.once("error", resolve));
  expect(await status).toBe(200);
  expect(await broken).toBeInstanceOf(Error);
  expect([text, stream.rstCode]).toEqual(["hello", 2]);
  session.close();
});
