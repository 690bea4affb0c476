/** HTTP messages of every shape, over two hops and two versions of HTTP, to an application on Node. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { RawClient } from "../../support/raw-client.ts";
import { TwoHops } from "../../support/two-hops.ts";

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
});
afterAll(() => hops.stop());

const MEGABYTE = 1024 * 1024;

async function exchange(request: string, until: string | RegExp): Promise<string> {
  const client = await hops.connect();
  client.send(request);
  const text = await client.until(until);
  client.close();
  return text;
}

test("the target may be in absolute-form, and then its authority counts", async () => {
  const text = await exchange("GET http://catalog.shop/a HTTP/1.1\r\nhost: catalog\r\n\r\n", "\r\n\r\n{");
  expect(text).toStartWith("HTTP/1.1 200 ");
  const other = await exchange("GET http://nowhere/a HTTP/1.1\r\nhost: catalog\r\n\r\n", "\r\n\r\n");
  expect(other).toStartWith("HTTP/1.1 404 ");
});

test("what the sidecar answers itself has exactly one date, whether it could read the request or not", async () => {
  for (const request of ["GET / HTTP/1.1\r\nhost: nowhere\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"]) {
    const text = await exchange(request, "\r\n\r\n");
    const [date, ...more] = [...text.matchAll(/^date: (.+)\r$/gm)].map(([, value]) => Date.parse(value ?? ""));
    expect(more).toEqual([]);
    expect(Math.abs((date ?? 0) - Date.now())).toBeLessThan(60_000);
  }
});

test("a response without a date gets one, and one that has a date keeps it (RFC 9110 §6.6.1)", async () => {
  const dates = async (query: string): Promise<string[]> => {
    const text = await exchange(`GET /date${query} HTTP/1.1\r\nhost: catalog\r\n\r\n`, "\r\n\r\n");
    return [...text.matchAll(/^date: (.+)\r$/gim)].map(([, value]) => value ?? "");
  };
  const [made, ...more] = await dates("");
  expect(more).toEqual([]);
  expect(Math.abs(Date.parse(made ?? "") - Date.now())).toBeLessThan(60_000);
  const old = "Thu, 01 Jan 1970 00:00:00 GMT";
  expect(await dates(`?date=${encodeURIComponent(old)}`)).toEqual([old]);
});

test("OPTIONS * arrives as it is: it asks about the server, not about a path", async () => {
  const text = await exchange("OPTIONS * HTTP/1.1\r\nhost: catalog\r\n\r\n", '"headers"');
  expect(text).toStartWith("HTTP/1.1 200 ");
  expect(text).toContain('"method":"OPTIONS","url":"*"');
});

test("OPTIONS and TRACE go no further than their caller lets them (RFC 9110 §7.6.2)", async () => {
  const send = (method: string, forwards: string): Promise<string> =>
    exchange(
      `${method} /bounded HTTP/1.1\r\nhost: catalog\r\nmax-forwards: ${forwards}\r\n\r\n`,
      /\r\n\r\n(?:$|\{.*\})/,
    );
  // One hop is the caller's sidecar, the next that of the called service, and the last the application.
  for (const forwards of ["0", "1"]) {
    expect(await send("OPTIONS", forwards)).toMatch(/^HTTP\/1\.1 200 .+server: heddle.+content-length: 0\r\n/s);
    expect(await send("TRACE", forwards)).toMatch(/^HTTP\/1\.1 501 .+server: heddle/s);
  }
  expect(await send("OPTIONS", "2")).toContain('"max-forwards","0"');
  expect(await send("GET", "0")).toContain('"max-forwards","0"');
  expect(await send("OPTIONS", "many")).toContain('"max-forwards","many"');
});

test("a caller that is answered before it has said all need not say the rest, and holds no stream open", async () => {
  const client = connectHttp2(hops.web.outbound);
  try {
    for (const authority of ["nowhere", "catalog"]) {
      const path = authority === "catalog" ? "/early" : "/";
      const stream = client.request(
        { ":method": "POST", ":path": path, ":authority": authority },
        { endStream: false },
      );
      const status = Promise.withResolvers<unknown>();
      stream.on("response", (head) => status.resolve(head[":status"])).on("error", status.reject);
      stream.resume();
      await once(stream, "close");
      expect([await status.promise, stream.rstCode]).toEqual([authority === "catalog" ? 413 : 404, 0]);
    }
  } finally {
    client.destroy();
  }
});

test("curl takes the sidecar for its proxy", async () => {
  const curl = Bun.spawn(["curl", "-sx", hops.web.outbound, "http://catalog.shop.mesh.local/from-curl"], {
    stdout: "pipe",
  });
  expect(await curl.stdout.text()).toContain('"url":"/from-curl"');
});

test("bodies with a length and in chunks arrive whole, both ways", async () => {
  const body = new Uint8Array(3 * MEGABYTE).map((_, index) => (index * 7919) & 0xff);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const withLength = await hops.call("/digest", { method: "POST", body });
  expect(await withLength.json()).toMatchObject({ bytes: body.length, sha256 });
  const pieces = new ReadableStream({
    async start(controller) {
      for (let at = 0; at < body.length; at += 99_991) controller.enqueue(body.subarray(at, at + 99_991));
      controller.close();
    },
  });
  const chunked = await hops.call("/echo", { method: "POST", body: pieces });
  expect(chunked.headers.get("content-length")).toBeNull();
  expect(
    createHash("sha256")
      .update(await chunked.bytes())
      .digest("hex"),
  ).toBe(sha256);
  const echoed = await hops.call("/echo", { method: "POST", body: "sized" });
  expect([echoed.headers.get("content-length"), await echoed.text()]).toEqual(["5", "sized"]);
});

test("trailers come back, and go there", async () => {
  const back = await exchange("GET /trailers HTTP/1.1\r\nhost: catalog\r\nte: trailers\r\n\r\n", "abc\r\n\r\n");
  expect(back).toEndWith("4\r\nbody\r\n0\r\nx-checksum: abc\r\n\r\n");
  const head = "POST /digest HTTP/1.1\r\nhost: catalog\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
  const there = await exchange(`${head}4\r\nbody\r\n0\r\nx-sum: 17\r\n\r\n`, "trailers");
  expect(there).toContain('"trailers":{"x-sum":"17"}');
});

test("a request that expects 100-continue is told to go on by the application", async () => {
  const client = await hops.connect();
  client.send("POST /digest HTTP/1.1\r\nhost: catalog\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
  expect(await client.until("\r\n\r\n")).toStartWith("HTTP/1.1 100 ");
  client.send("body");
  expect(await client.until('"bytes":4')).toContain("HTTP/1.1 200 ");
  client.send("GET /next HTTP/1.1\r\nhost: catalog\r\n\r\n");
  await client.until('"url":"/next"');
  client.close();
});

for (const status of [417, 413]) {
  test(`an application that answers 100-continue with ${status} is not sent the body`, async () => {
    const client = await hops.connect();
    const target = `/digest?refuse=${status}`;
    client.send(`POST ${target} HTTP/1.1\r\nhost: catalog\r\nexpect: 100-continue\r\ncontent-length: 400\r\n\r\n`);
    const text = await client.untilEnded();
    expect(text).toStartWith(`HTTP/1.1 ${status} `);
    expect(text).toContain("\r\nconnection: close\r\n");
    expect(text).toEndWith("\r\n\r\nno");
    expect((await hops.app.seen()).seen).not.toContain(`POST ${target}`);
    client.close();
  });
}

test("an answer that comes before the request is over reaches the client, whose connection goes on or ends cleanly", async () => {
  const body = new Uint8Array(20 * MEGABYTE);
  const response = await hops.call("/early", { method: "POST", body });
  expect([response.status, await response.text()]).toEqual([413, "large"]);
  expect((await hops.call("/after-early")).status).toBe(200);
});

test("requests of one connection are answered in order, pipelined or one by one", async () => {
  const client = await hops.connect();
  const paths = Array.from({ length: 20 }, (_, index) => `/pipelined-${index}`);
  client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: catalog\r\n\r\n`).join(""));
  const text = await client.until('"url":"/pipelined-19"');
  const answered = [...text.matchAll(/"url":"([^"]+)"/g)].map((match) => match[1]);
  expect(answered).toEqual(paths);
  client.send(
    "POST /echo HTTP/1.1\r\nhost: catalog\r\ncontent-length: 5\r\n\r\nfirstGET /last HTTP/1.1\r\nhost: catalog\r\n\r\n",
  );
  const rest = await client.until('"url":"/last"');
  expect(rest).toContain("\r\n\r\nfirst");
  client.close();
});

test("an HTTP/1.0 client gets a body that ends with the connection, and keeps the connection if it asks", async () => {
  const client = await hops.connect();
  client.send("GET /stream?bytes=100000 HTTP/1.0\r\nhost: catalog\r\n\r\n");
  const text = await client.untilEnded();
  expect(text).not.toContain("transfer-encoding");
  expect(text.length - text.indexOf("\r\n\r\n") - 4).toBe(100_000);
  const kept = await hops.connect();
  kept.send("GET /status?code=204 HTTP/1.0\r\nhost: catalog\r\nconnection: keep-alive\r\n\r\n");
  expect(await kept.until("\r\n\r\n")).toMatch(/connection: keep-alive/i);
  kept.close();
});

test("an HTTP/1.0 client can tell a response that was cut short from one that is over", async () => {
  const probe = Promise.withResolvers<Error | undefined>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: hops.outboundPort,
    socket: {
      data() {},
      close: (_socket, error) => probe.resolve(error),
      error: (_socket, error) => probe.resolve(error),
    },
  });
  socket.write("GET /half HTTP/1.0\r\nhost: catalog\r\n\r\n");
  expect(await probe.promise).toBeInstanceOf(Error);
});

test("HEAD keeps the length of what it does not bring; 204 and 304 have no body", async () => {
  const text = await exchange(
    "HEAD /echo HTTP/1.1\r\nhost: catalog\r\n\r\nGET /z HTTP/1.1\r\nhost: catalog\r\n\r\n",
    '"/z"',
  );
  expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  for (const code of [204, 304]) {
    const both = `GET /status?code=${code} HTTP/1.1\r\nhost: catalog\r\n\r\nGET /y HTTP/1.1\r\nhost: catalog\r\n\r\n`;
    expect(await exchange(both, '"/y"')).toStartWith(`HTTP/1.1 ${code} `);
  }
});

test("a 426 says over both hops which protocols it wants (RFC 9110 §15.5.22)", async () => {
  const text = await exchange("GET /upgrade-required HTTP/1.1\r\nhost: catalog\r\n\r\n", "\r\n\r\n");
  expect(text).toStartWith("HTTP/1.1 426 ");
  expect(text).toContain("\r\nconnection: upgrade\r\nupgrade: websocket, irc/6.9\r\n");
  expect(text).not.toContain("x-heddle-");
});

test("only the mesh says who called: what a client claims is dropped", async () => {
  const claims = {
    "x-forwarded-client-cert": "By=spiffe://evil;URI=spiffe://evil",
    "x-envoy-attempt-count": "7",
    "x-heddle-denied": "no",
    "x-request-id": "abc-123",
  };
  const { headers } = (await (await hops.call("/", { headers: claims })).json()) as { headers: string[] };
  const values = (name: string): string[] =>
    headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name);
  expect(values("x-forwarded-client-cert")).toEqual([
    "By=spiffe://mesh.local/ns/shop/sa/catalog;URI=spiffe://mesh.local/ns/shop/sa/web",
  ]);
  expect(values("x-envoy-attempt-count")).toEqual([]);
  expect(values("x-heddle-denied")).toEqual([]);
  expect(values("x-request-id")).toEqual(["abc-123"]);
  expect(values("x-forwarded-proto")).toEqual(["http"]);
});

test("the scheme that the edge of the mesh saw is passed on, once", async () => {
  const response = await hops.call("/", { headers: { "x-forwarded-proto": "https" } });
  const { headers } = (await response.json()) as { headers: string[] };
  const at = headers.indexOf("x-forwarded-proto");
  expect(headers[at + 1]).toBe("https");
  expect(headers.lastIndexOf("x-forwarded-proto")).toBe(at);
});

test("a slow reader of a large body costs the sidecars bounded memory", async () => {
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const client = await RawClient.connect(hops.outboundPort);
  client.pause();
  client.send(`GET /stream?bytes=${100 * MEGABYTE} HTTP/1.1\r\nhost: catalog\r\n\r\n`);
  await Bun.sleep(700);
  const grown = process.memoryUsage.rss() - before;
  expect(grown).toBeLessThan(40 * MEGABYTE);
  client.close();
});

test("a client that sends slowly, byte by byte, is served", async () => {
  const client = await hops.connect();
  for (const one of "POST /echo HTTP/1.1\r\nhost: catalog\r\ncontent-length: 3\r\n\r\nabc") {
    client.send(one);
    await Bun.sleep(1);
  }
  expect(await client.until("\r\n\r\nabc")).toStartWith("HTTP/1.1 200 ");
  client.close();
});

test("many large responses at once all come to their end", async () => {
  const bytes = 5 * MEGABYTE;
  const all = await Promise.all(
    Array.from({ length: 12 }, async () => (await (await hops.call(`/stream?bytes=${bytes}`)).bytes()).length),
  );
  expect(all).toEqual(Array.from({ length: 12 }, () => bytes));
});
