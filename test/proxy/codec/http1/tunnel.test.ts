import { describe, expect, test } from "bun:test";
import type { RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import {
  bytes,
  clientUnderTest,
  feed,
  RecordedMessage,
  requestHead,
  responseHead,
  serverUnderTest,
} from "./recorder.ts";

const UPGRADE = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket, x\r\n\r\n";
const CONNECT = "CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n";
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

describe("server", () => {
  const openings: [string, string, number, Partial<RequestHead>, string][] = [
    [
      "Upgrade",
      UPGRADE,
      101,
      { method: "GET", path: "/chat", upgrade: "websocket" },
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ],
    ["CONNECT", CONNECT, 200, { method: "CONNECT", path: "", authority: "a:443" }, "HTTP/1.1 200 OK\r\n\r\n"],
  ];
  test.each(openings)("%s opens a tunnel, both ways and to the byte", (_, input, status, head, response) => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, `${input}early`);
    const first = requests[0];
    expect(first?.head).toMatchObject(head);
    expect(first?.ended).toBe(false);
    expect(first?.body).toBe("");
    expect(output.reading).toBe(false);

    first?.stream.sendHead(responseHead(status), false);
    expect(output.text).toBe(response);
    expect(first?.body).toBe("early");
    expect(output.reading).toBe(true);

    feed(connection, "\r\n\r\nGET");
    expect(first?.body).toBe("early\r\n\r\nGET");
    first?.stream.sendData(bytes("down"), false);
    expect(output.text).toBe(`${response}down`);

    connection.receiveEnd();
    expect(first?.ended).toBe(true);
    expect(output.fate).toBe("open");
    first?.stream.sendData(bytes("!"), true);
    expect(output.text).toBe(`${response}down!`);
    expect(output.fate).toBe("ended");
    expect(connection.openStreams).toBe(0);
  });

  test("a tunnel whose near side ends first goes on until the far side has", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, UPGRADE);
    requests[0]?.stream.sendHead(responseHead(101), false);
    requests[0]?.stream.sendData(bytes(""), true);
    expect(output.fate).toBe("ended");
    feed(connection, "more");
    connection.receiveEnd();
    expect(requests[0]?.body).toBe("more");
    expect(requests[0]?.ended).toBe(true);
    expect(connection.openStreams).toBe(0);
  });

  test("a tunnel that opens with its near side ended already", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, `${UPGRADE}early`);
    requests[0]?.stream.sendHead(responseHead(101), true);
    expect(requests[0]?.body).toBe("early");
    expect(output.fate).toBe("ended");
    feed(connection, GET);
    expect(requests).toHaveLength(1);
  });

  test("a paused tunnel keeps its end back as well", () => {
    const { connection, requests } = serverUnderTest();
    feed(connection, UPGRADE);
    requests[0]?.stream.sendHead(responseHead(101), false);
    requests[0]?.stream.pause();
    feed(connection, "x");
    connection.receiveEnd();
    expect(requests[0]?.body).toBe("");
    expect(requests[0]?.ended).toBe(false);
    requests[0]?.stream.resume();
    expect(requests[0]?.body).toBe("x");
    expect(requests[0]?.ended).toBe(true);
  });

  test("an Upgrade that is declined is an ordinary exchange", () => {
    const { connection, output, requests } = serverUnderTest();
    feed(connection, UPGRADE);
    requests[0]?.stream.sendHead(responseHead(200, [], 2), false);
    expect(requests[0]?.ended).toBe(true);
    requests[0]?.stream.sendData(bytes("no"), true);
    expect(output.fate).toBe("open");
    feed(connection, GET);
    expect(requests).toHaveLength(2);
  });

  test("what was sent ahead of a tunnel that is declined is never read as a request", () => {
    for (const input of [UPGRADE, CONNECT]) {
      const { connection, output, requests } = serverUnderTest();
      feed(connection, input + GET);
      requests[0]?.stream.sendHead(responseHead(403), true);
      expect(output.text).toContain("connection: close");
      expect(output.fate).toBe("ended");
      expect(requests).toHaveLength(1);
    }
  });

  test("the wish to switch is passed over where the request has content, or another method than GET", () => {
    for (const text of [
      UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nab"),
      UPGRADE.replace("GET", "POST"),
    ]) {
      const { connection, requests } = serverUnderTest();
      feed(connection, text);
      expect(requests[0]?.head?.upgrade).toBeUndefined();
      expect(requests[0]?.ended).toBe(true);
      requests[0]?.stream.sendHead(responseHead(200), true);
      feed(connection, GET);
      expect(requests).toHaveLength(2);
    }
  });
});

describe("client", () => {
  function opened(head: RequestHead) {
    const { connection, output } = clientUnderTest();
    const response = new RecordedMessage<ResponseHead>();
    const stream = connection.open(response);
    stream.sendHead(head, false);
    return { connection, output, response, stream };
  }
  const upgrade = requestHead("GET", "/chat", { upgrade: "websocket" });
  const connect = requestHead("CONNECT", "", { authority: "a:443" });
  const openings: [string, RequestHead, string, string][] = [
    [
      "Upgrade",
      upgrade,
      "GET /chat HTTP/1.1\r\nhost: orders.shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
    ],
    [
      "CONNECT",
      connect,
      "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ],
  ];
  test.each(openings)("%s opens a tunnel, both ways and to the byte", (_, head, request, answered) => {
    const { connection, output, response, stream } = opened(head);
    expect(output.text).toBe(request);
    feed(connection, `${answered}hello`);
    expect(response.head).toMatchObject({ contentLength: undefined, headers: [] });
    expect(response.body).toBe("hello");
    stream.sendData(bytes("up"), false);
    expect(output.text).toBe(`${request}up`);
    expect(connection.retired).toBe(true);
    stream.sendData(bytes("!"), true);
    expect(output.text).toBe(`${request}up!`);
    expect(output.fate).toBe("ended");
    feed(connection, " world");
    connection.receiveEnd();
    expect(response.body).toBe("hello world");
    expect(response.ended).toBe(true);
    expect(connection.openStreams).toBe(0);
  });

  test("a tunnel whose far side ends first goes on until the near side has", () => {
    const { connection, output, stream, response } = opened(connect);
    feed(connection, "HTTP/1.1 200 OK\r\n\r\n");
    connection.receiveEnd();
    expect(response.ended).toBe(true);
    stream.sendData(bytes("more"), true);
    expect(output.text).toEndWith("more");
    expect(output.fate).toBe("ended");
  });

  test("a declined tunnel is an ordinary exchange, and the connection can be used again", () => {
    for (const head of [upgrade, connect]) {
      const { connection, response, stream } = opened(head);
      feed(connection, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
      expect(response.body).toBe("no");
      expect(response.ended).toBe(true);
      expect(connection.capacity).toBe(1);
      stream.sendData(bytes(""), true);
      expect(connection.capacity).toBe(1);
    }
  });

  test("an extended CONNECT is spelled as an Upgrade", () => {
    const { output } = opened(requestHead("CONNECT", "/chat", { upgrade: "websocket", contentLength: undefined }));
    expect(output.text).toStartWith("GET /chat HTTP/1.1\r\nhost: orders.shop\r\n");
    expect(output.text).toEndWith("connection: upgrade\r\nupgrade: websocket\r\n\r\n");
  });

  test("nothing may be sent into a tunnel before it is open", () => {
    const { output, response, stream } = opened(connect);
    stream.sendData(bytes("x"), false);
    expect(response.fault).toEqual({ kind: "cancelled", detail: "tunnel_data_before_switch" });
    expect(output.fate).toBe("destroyed");
  });

  const unasked: [string, RequestHead, string][] = [
    ["101 without a wish", requestHead("GET", "/"), "Connection: upgrade\r\nUpgrade: websocket\r\n"],
    ["101 to another protocol", upgrade, "Connection: upgrade\r\nUpgrade: h2c\r\n"],
    ["101 to no protocol", upgrade, ""],
  ];
  test.each(unasked)("%s", (_, head, lines) => {
    const { connection, output, response } = opened(head);
    feed(connection, `HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`);
    expect(response.fault?.detail).toBe("switching_protocols_unasked");
    expect(output.fate).toBe("destroyed");
  });
});
