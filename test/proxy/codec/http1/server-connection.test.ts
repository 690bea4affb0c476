import { describe, expect, test } from "bun:test";
import { answer, bytes, feed, responseHead, serverUnderTest } from "./recorder.ts";

const GET = "GET / HTTP/1.1\r\nHost: orders.shop\r\n\r\n";

describe("requests in a row", () => {
  test("a kept-alive connection serves one after the other", () => {
    const { connection, output, requests } = serverUnderTest(answer);
    feed(connection, GET);
    feed(connection, GET);
    expect(requests).toHaveLength(2);
    expect(output.text).toBe("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".repeat(2));
    expect(output.fate).toBe("open");
    expect(connection.openStreams).toBe(0);
    expect(connection.activity).toBe("idle");
  });

  test("a pipelined request waits, with reading paused, until the exchange ahead of it is over", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, GET + GET + GET);
    expect(requests).toHaveLength(1);
    expect(output.reading).toBe(false);
    requests[0]?.stream.sendHead(responseHead(204), true);
    expect(requests).toHaveLength(2);
    expect(output.reading).toBe(false);
    requests[1]?.stream.sendHead(responseHead(204), true);
    expect(requests).toHaveLength(3);
    expect(output.reading).toBe(true);
  });

  test("a body with a length, and one in chunks with trailers", () => {
    const { connection, requests } = serverUnderTest(answer);
    feed(connection, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    feed(
      connection,
      "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n",
    );
    expect(requests.map(({ body, trailers, ended }) => ({ body, trailers, ended }))).toEqual([
      { body: "hello", trailers: undefined, ended: true },
      { body: "hello!", trailers: ["x-sum", "1"], ended: true },
    ]);
  });
});

describe("responses", () => {
  test("an unknown length is sent in chunks, with trailers", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, GET);
    const stream = requests[0]?.stream;
    stream?.sendHead(responseHead(200), false);
    stream?.sendData(bytes("hello"), false);
    stream?.sendTrailers(["x-sum", "1"]);
    expect(output.text).toBe(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    );
  });
});
