import { describe, expect, test } from "bun:test";
import type { ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { clientUnderTest, feed, RecordedMessage, requestHead } from "./recorder.ts";

describe("exchanges in a row", () => {
  test("the connection can be opened again from within the end of a response", () => {
    const { connection, output } = clientUnderTest();
    const first = new RecordedMessage<ResponseHead>();
    const second = new RecordedMessage<ResponseHead>();
    first.onEvent = () => {
      if (first.ended) connection.open(second).sendHead(requestHead("GET", "/b"), true);
    };
    connection.open(first).sendHead(requestHead("GET", "/a"), true);
    expect(connection.capacity).toBe(0);
    feed(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    feed(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    expect([first.body, second.body]).toEqual(["ok", "ok"]);
    expect(second.ended).toBe(true);
    expect(output.text).toBe(
      "GET /a HTTP/1.1\r\nhost: orders.shop\r\n\r\nGET /b HTTP/1.1\r\nhost: orders.shop\r\n\r\n",
    );
    expect(connection.capacity).toBe(1);
    expect(connection.retired).toBe(false);
  });
});
