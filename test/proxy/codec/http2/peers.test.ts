import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { AcceptStream, RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { needs, run } from "../../../clients/tool.ts";
import { connectHttp2, listenHttp2 } from "../../../support/http2-sockets.ts";
import { requestHead, responseHead, StreamRecorder } from "../../../support/stream-recorder.ts";

/** The codec against implementations that we did not write. A peer that is not installed is skipped by name. */

const LARGE_BYTES = 3_000_000;

function answerTo({ head, body }: StreamRecorder<RequestHead>): Buffer {
  if (head?.path === "/large") return Buffer.alloc(LARGE_BYTES, "x");
  return body.length > 0 ? body : Buffer.from("heddle\n");
}

/** Answers with what came in, after it has all come in. */
const echo: AcceptStream = (stream) => {
  const recorder = new StreamRecorder<RequestHead>();
  const answer = (): void => {
    const body = answerTo(recorder);
    const headers = ["server", "heddle", "content-length", `${body.length}`];
    stream.sendHead(responseHead({ headers, contentLength: body.length }), false);
    stream.sendData(body, true);
  };
  const [onHead, onData, onTrailers] = [recorder.onHead, recorder.onData, recorder.onTrailers];
  recorder.onHead = (head, end) => {
    onHead.call(recorder, head, end);
    if (end) answer();
  };
  recorder.onData = (chunk, end) => {
    onData.call(recorder, chunk, end);
    if (end) answer();
  };
  recorder.onTrailers = (trailers) => {
    onTrailers.call(recorder, trailers);
    answer();
  };
  return recorder;
};

describe("as server", () => {
  let listener: ReturnType<typeof listenHttp2>;
  beforeAll(() => {
    listener = listenHttp2(echo);
  });
  afterAll(() => {
    listener.stop(true);
  });

  const [nghttpName, noNghttp] = needs("nghttp", "nghttp uploads a body with trailers and reads it back");
  test.skipIf(noNghttp)(nghttpName, async () => {
    const body = "b".repeat(200_000);
    const url = `http://127.0.0.1:${listener.port}/echo`;
    const { code, out: text } = await run(["nghttp", "--trailer", "x-sum: 1", "-d", "/dev/stdin", url], body);
    expect(code).toBe(0);
    expect(text).toBe(body);
  });

  const [largeName, noLarge] = needs("nghttp", "nghttp reads a body many times its window");
  test.skipIf(noLarge)(largeName, async () => {
    const { out: text } = await run(["nghttp", "-w", "14", "-W", "14", `http://127.0.0.1:${listener.port}/large`]);
    expect(text.length).toBe(LARGE_BYTES);
  });

  const [loadName, noLoad] = needs("h2load", "h2load: thousands of requests over few connections, all answered");
  test.skipIf(noLoad)(loadName, async () => {
    const { out: text } = await run([
      "h2load",
      ...["-n", "5000", "-c", "3", "-m", "50"],
      ...["-H", "x-request-id: 1", `http://127.0.0.1:${listener.port}/`],
    ]);
    expect(text).toContain("5000 succeeded, 0 failed, 0 errored, 0 timeout");
  });

  const [specName, noSpec] = needs("h2spec", "h2spec finds nothing to complain of");
  test.skipIf(noSpec)(
    specName,
    async () => {
      const { out: text } = await run(["h2spec", "--strict", "-h", "127.0.0.1", "-p", `${listener.port}`, "-o", "2"]);
      expect(text).toMatch(/ passed, .* 0 failed/);
    },
    30_000,
  );
});

/** A node:http2 server: echoes bodies, sends 103 first and trailers last, and says on which port it listens. */
const NODE_SERVER = `
  const http2 = require("node:http2");
  const server = http2.createServer({ settings: { enableConnectProtocol: true, maxConcurrentStreams: 20 } });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (headers[":method"] === "CONNECT") {
      stream.respond({ ":status": 200, "x-protocol": headers[":protocol"] });
      stream.pipe(stream);
      return;
    }
    if (headers[":path"] === "/refuse") { stream.close(http2.constants.NGHTTP2_REFUSED_STREAM); return; }
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    stream.respond({ ":status": 200, "x-cookie": headers.cookie ?? "" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }));
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.resume().on("end", () => process.exit(0));
`;

const [nodeName, noNode] = needs("node", "as client of node:http2");
describe.skipIf(noNode)(nodeName, () => {
  let child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  let port = 0;

  beforeAll(async () => {
    child = Bun.spawn(["node", "-e", NODE_SERVER], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    const { value } = await child.stdout.getReader().read();
    port = Number(new TextDecoder().decode(value));
  });

  afterAll(async () => {
    child.kill();
    await child.exited;
  });

  /** A recorder whose end can be awaited. */
  function listen(): { recorder: StreamRecorder<ResponseHead>; over: Promise<void> } {
    const recorder = new StreamRecorder<ResponseHead>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const [onData, onTrailers, onFault] = [recorder.onData, recorder.onTrailers, recorder.onFault];
    recorder.onData = (chunk, end) => {
      onData.call(recorder, chunk, end);
      if (end) resolve();
    };
    recorder.onTrailers = (trailers) => {
      onTrailers.call(recorder, trailers);
      resolve();
    };
    recorder.onFault = (fault) => {
      onFault.call(recorder, fault);
      resolve();
    };
    return { recorder, over: promise };
  }

  test("bodies of any size come back, with 103 before and trailers behind", async () => {
    const { connection, output } = await connectHttp2(port);
    const sizes = [1, 16_384, 100_000, 1_000_000];
    const exchanges = sizes.map((size, index) => {
      const { recorder, over } = listen();
      const stream = connection.open(recorder);
      stream.sendHead(requestHead({ method: "POST", headers: ["cookie", `id=${index}`] }), false);
      stream.sendData(Buffer.alloc(size, String.fromCharCode(0x61 + index)), true);
      return { recorder, over, size, index };
    });
    await Promise.all(exchanges.map(({ over }) => over));
    for (const { recorder, size, index } of exchanges) {
      expect(recorder.events[0]).toBe("informational 103");
      expect(recorder.head?.headers).toContain(`id=${index}`);
      expect(recorder.body.equals(Buffer.alloc(size, String.fromCharCode(0x61 + index)))).toBe(true);
      expect(recorder.trailers).toEqual(["x-sum", "7"]);
    }
    expect(connection.capacity).toBe(20);
    connection.drain();
    output.destroy();
  });

  test("many small exchanges keep the tables of both sides in step", async () => {
    const { connection, output } = await connectHttp2(port);
    for (let round = 0; round < 30; round++) {
      const batch = Array.from({ length: 10 }, (_, index) => {
        const { recorder, over } = listen();
        const cookie = `session-of-a-fair-length=${(round * 10 + index) % 7}`;
        connection.open(recorder).sendHead(requestHead({ path: `/${index}`, headers: ["cookie", cookie] }), true);
        return { recorder, over, cookie };
      });
      await Promise.all(batch.map(({ over }) => over));
      for (const { recorder, cookie } of batch) expect(recorder.head?.headers).toContain(cookie);
    }
    output.destroy();
  });

  test("extended CONNECT as the first request opens a tunnel", async () => {
    const { connection, output } = await connectHttp2(port);
    const { recorder, over } = listen();
    const stream = connection.open(recorder);
    stream.sendHead(requestHead({ upgrade: "websocket", path: "/chat" }), false);
    stream.sendData(Buffer.from("ping"), true);
    await over;
    expect(recorder.head?.headers).toContain("websocket");
    expect(recorder.body.toString()).toBe("ping");
    output.destroy();
  });

  test("a refused stream is safe to repeat", async () => {
    const { connection, output } = await connectHttp2(port);
    const { recorder, over } = listen();
    connection.open(recorder).sendHead(requestHead({ path: "/refuse" }), true);
    await over;
    expect(recorder.fault?.kind).toBe("refused");
    output.destroy();
  });
});
