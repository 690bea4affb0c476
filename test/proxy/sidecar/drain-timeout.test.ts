/** What is open when the time to drain is over: each is told in its own way that it was cut off, and none that it is whole. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ limits: { drainTimeoutMs: 1_600 } });
});
afterAll(() => hops.stop());

const get = (path: string, version = "1.1", fields = ""): string =>
  `GET ${path} HTTP/${version}\r\nhost: catalog\r\n${fields}\r\n`;

/** Sends it, and waits until `part` of what comes back is there. */
async function begun(request: string, part: string) {
  const { port } = hops.web.sidecar.outboundAddress;
  const over = Promise.withResolvers<Error | undefined>();
  const started = Promise.withResolvers<void>();
  let text = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_socket, chunk) {
        text += chunk.toString("latin1");
        if (text.includes(part)) started.resolve();
      },
      end: () => over.resolve(undefined),
      close: (_socket, error) => over.resolve(error),
      error: (_socket, error) => over.resolve(error),
    },
  });
  socket.write(request);
  if (part !== "") await started.promise;
  return { over: over.promise, text: () => text };
}

test("requests get 503, gRPC a status, streams a reset, tunnels and bodies without a length a reset connection", async () => {
  const upgrade = "connection: upgrade\r\nupgrade: any\r\n";
  const tunnel = await begun(get("/tunnel", "1.1", upgrade), "\r\n\r\n");
  const old = await begun(get("/drip?pieces=100000", "1.0"), "drop");
  const chunks = await begun(get("/drip?pieces=100000&b"), "drop");
  const waiting = await begun(get("/never"), "");
  const session = connect(hops.web.outbound);
  const stream = session.request({ ":path": "/drip?pieces=100000&c", ":authority": "catalog" });
  const reset = once(stream, "error");
  const grpc = session.request({
    ":path": "/drip?pieces=100000&d",
    ":method": "POST",
    ":authority": "catalog",
    "content-type": "application/grpc",
  });
  grpc.end();
  const trailers = once(grpc.resume(), "trailers") as Promise<[IncomingHttpHeaders]>;
  await Promise.all([once(stream.resume(), "data"), once(grpc, "data")]);

  await eventually(async () => expect((await hops.app.seen()).seen).toContain("GET /never"));

  await hops.web.sidecar.drain();
  await waiting.over;
  expect(waiting.text()).toMatch(/^HTTP\/1\.1 503 .+server: heddle/s);
  await chunks.over;
  expect(chunks.text()).toEndWith("drop\r\n");
  expect(await tunnel.over).toBeInstanceOf(Error);
  expect(await old.over).toBeInstanceOf(Error);
  await reset;
  expect(stream.rstCode).toBe(2);
  expect((await trailers)[0]["grpc-status"]).toBe("14");
  for (const path of ["/never", "/tunnel", "/drip?pieces=100000&c"]) {
    expect(await hops.line(path)).toMatchObject({ response_flags: "LR", response_code_details: "drain_timeout" });
  }
  session.destroy();
});
