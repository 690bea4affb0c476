import { describe, expect, test } from "bun:test";
import { Http2ClientConnection } from "../../../../src/proxy/codec/http2/client-connection.ts";
import { PREFACE } from "../../../../src/proxy/codec/http2/preface.ts";
import type { ClientStream, RequestHead, ResponseHead } from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";
import {
  ACK,
  data,
  END_HEADERS,
  FrameLog,
  frame,
  headers,
  SERVER_HELLO,
  settings,
  uint32,
} from "../../../support/http2-frames.ts";
import { MemoryOutput } from "../../../support/memory-output.ts";
import { requestHead, StreamRecorder } from "../../../support/stream-recorder.ts";

interface Client {
  readonly output: MemoryOutput;
  readonly connection: Http2ClientConnection;
  say(...frames: Uint8Array[]): string[];
  hear(): string[];
  open(head?: Partial<RequestHead>, end?: boolean): { stream: ClientStream; recorder: StreamRecorder<ResponseHead> };
}

/** A client that has sent its preface; `hello` is what the server has answered so far. */
function makeClient(hello: Uint8Array = SERVER_HELLO): Client {
  const output = new MemoryOutput();
  const connection = new Http2ClientConnection({ output, limits: DEFAULT_LIMITS });
  const log = new FrameLog();
  expect(output.take(PREFACE.length).equals(Buffer.from(PREFACE))).toBe(true);
  const hear = (): string[] => {
    const lines = log.lines(output.take());
    connection.drained();
    return lines;
  };
  const say = (...frames: Uint8Array[]): string[] => {
    connection.receive(Buffer.concat(frames));
    return hear();
  };
  expect(hear()).toEqual(["SETTINGS 0 18", "WINDOW_UPDATE 0 4128769"]);
  if (hello.length > 0) say(hello);
  const open = (head: Partial<RequestHead> = {}, end = true) => {
    const recorder = new StreamRecorder<ResponseHead>();
    const stream = connection.open(recorder);
    stream.sendHead(requestHead(head), end);
    return { stream, recorder };
  };
  return { output, connection, say, hear, open };
}

const OK: [string, string][] = [[":status", "200"]];

describe("exchanges", () => {
  test("a request and its response", () => {
    const client = makeClient();
    const { recorder } = client.open({ headers: ["accept", "*/*"] });
    expect(client.hear()).toEqual(["HEADERS 1 end :method=GET :scheme=http :path=/ :authority=orders.shop accept=*/*"]);
    client.say(headers(1, [...OK, ["content-length", "2"]], false), data(1, "ok", true));
    expect(recorder.head).toEqual({ status: 200, headers: ["content-length", "2"], contentLength: 2, version: "2" });
    expect(recorder.events).toEqual(["head 200", "data 2 end"]);
    expect(client.connection.openStreams).toBe(0);
  });

  test("identifiers follow the order of heads, not that of opening", () => {
    const client = makeClient();
    const [first, second] = [0, 1].map(() => client.connection.open(new StreamRecorder<ResponseHead>()));
    second?.sendHead(requestHead({ path: "/second" }), true);
    first?.sendHead(requestHead({ path: "/first" }), true);
    const lines = client.hear();
    expect(lines[0]).toContain("HEADERS 1 end :method=GET :scheme=http :path=/second");
    expect(lines[1]).toContain("HEADERS 3 end :method=GET :scheme=http :path=/first");
  });

  test("a body with trailers, an expectation, 1xx, and trailers back", () => {
    const client = makeClient();
    const { stream, recorder } = client.open({ method: "POST", expectContinue: true, contentLength: 3 }, false);
    client.say(headers(1, [[":status", "100"]], false));
    stream.sendData(Buffer.from("abc"), false);
    stream.sendTrailers(["x-sum", "6"]);
    expect(client.hear()).toEqual(["DATA 1 3", "HEADERS 1 end x-sum=6"]);
    client.say(headers(1, OK, false), data(1, "a", false), headers(1, [["grpc-status", "0"]], true));
    expect(recorder.events).toEqual(["informational 100", "head 200", "data 1", "trailers grpc-status 0"]);
  });

  test("a length that only the head knows is announced", () => {
    const client = makeClient();
    client.open({ method: "POST", contentLength: 3, expectContinue: true }, false);
    expect(client.hear()[0]).toEndWith("expect=100-continue content-length=3");
  });

  test.each<[string, Partial<RequestHead>, [string, string][], boolean, number | undefined]>([
    ["HEAD with a length", { method: "HEAD" }, [...OK, ["content-length", "99"]], true, 99],
    ["HEAD without a length", { method: "HEAD" }, OK, true, undefined],
    [
      "304 with a length",
      {},
      [
        [":status", "304"],
        ["content-length", "99"],
      ],
      true,
      99,
    ],
    ["204", {}, [[":status", "204"]], true, undefined],
    ["no body", {}, OK, true, 0],
    ["unknown length", {}, OK, false, undefined],
  ])("%s", (_what, request, response, end, contentLength) => {
    const client = makeClient();
    const { recorder } = client.open(request);
    client.say(headers(1, response, end));
    expect(recorder.head?.contentLength).toBe(contentLength);
    expect(recorder.fault).toBeUndefined();
  });
});

describe("malformed responses fail their stream", () => {
  test.each<[string, Uint8Array[]]>([
    ["no :status", [headers(1, [["a", "b"]], true)]],
    ["a request's field", [headers(1, [...OK, [":path", "/"]], true)]],
    ["status of two digits", [headers(1, [[":status", "20"]], true)]],
    ["status 101", [headers(1, [[":status", "101"]], false)]],
    ["1xx that ends the stream", [headers(1, [[":status", "103"]], true)]],
    ["transfer-encoding", [headers(1, [...OK, ["transfer-encoding", "chunked"]], true)]],
    ["data before the head", [data(1, "a", false)]],
    ["length without data", [headers(1, [...OK, ["content-length", "5"]], true)]],
    ["data of another length", [headers(1, [...OK, ["content-length", "5"]], false), data(1, "abc", true)]],
    ["data with 204", [headers(1, [[":status", "204"]], false), data(1, "a", true)]],
    ["a second final head", [headers(1, OK, false), headers(1, OK, false)]],
  ])("%s", (_what, frames) => {
    const client = makeClient();
    const { recorder } = client.open();
    client.hear();
    expect(client.say(...frames)).toEqual(["RST_STREAM 1 1"]);
    expect(recorder.fault?.kind).toBe("protocol-error");
    expect(client.connection.retired).toBe(false);
  });

  test.each<[string, Uint8Array]>([
    ["a stream of the server's", headers(2, OK, true)],
    ["a stream that we did not open", headers(3, OK, true)],
    ["PUSH_PROMISE", frame("PUSH_PROMISE", END_HEADERS, 1, [0, 0, 0, 2])],
    ["ENABLE_PUSH", settings([2, 1])],
  ])("%s ends the connection", (_what, bytes) => {
    const client = makeClient();
    const { recorder } = client.open();
    client.hear();
    expect(client.say(bytes)[0]).toStartWith("GOAWAY 0 1 ");
    expect(recorder.fault?.kind).toBe("protocol-error");
    expect(client.connection.retired).toBe(true);
    expect(client.connection.capacity).toBe(0);
  });

  test("1xx without end", () => {
    const client = makeClient();
    const { recorder } = client.open();
    client.hear();
    const many = new Array<Uint8Array>(17).fill(headers(1, [[":status", "103"]], false));
    expect(client.say(...many)).toEqual(["RST_STREAM 1 11"]);
    expect(recorder.fault?.detail).toBe("too_many_informational_responses");
  });

  test("one 1xx per response is no flood, however many responses", () => {
    const client = makeClient();
    for (let i = 0; i < 1000; i++) {
      client.open();
      client.say(headers(2 * i + 1, [[":status", "103"]], false), headers(2 * i + 1, OK, true));
    }
    expect(client.connection.retired).toBe(false);
  });
});

describe("capacity", () => {
  test("is modest before the peer's SETTINGS, then what they say", () => {
    const client = makeClient(new Uint8Array(0));
    expect(client.connection.capacity).toBe(100);
    client.say(settings([3, 2]));
    expect(client.connection.capacity).toBe(2);
    client.open();
    const idle = client.connection.open(new StreamRecorder<ResponseHead>());
    expect(client.connection.capacity).toBe(0);
    expect(() => client.connection.open(new StreamRecorder<ResponseHead>())).toThrow();
    idle.reset({ kind: "cancelled", detail: "never_sent" });
    expect(client.connection.capacity).toBe(1);
    client.say(headers(1, OK, true));
    expect(client.connection.capacity).toBe(2);
    client.say(settings([3, 0]));
    expect(client.connection.capacity).toBe(0);
    expect(client.connection.retired).toBe(false);
  });

  test("REFUSED_STREAM is safe to repeat, another code is not", () => {
    const client = makeClient();
    const [a, b] = [client.open(), client.open()];
    client.say(frame("RST_STREAM", 0, 1, uint32(7)), frame("RST_STREAM", 0, 3, uint32(2)));
    expect(a.recorder.fault).toEqual({ kind: "refused", detail: "refused_stream" });
    expect(b.recorder.fault).toEqual({ kind: "peer-reset", detail: "reset_internal_error" });
  });
});

describe("the end", () => {
  test("GOAWAY: streams above the last go elsewhere, those below are finished", () => {
    const client = makeClient();
    const [a, b] = [client.open(), client.open()];
    const unsent = new StreamRecorder<ResponseHead>();
    client.connection.open(unsent);
    client.hear();
    client.say(frame("GOAWAY", 0, 0, uint32(0x7fffffff, 0)));
    expect(b.recorder.fault).toBeUndefined();
    expect(unsent.fault?.kind).toBe("refused");
    client.say(frame("GOAWAY", 0, 0, uint32(1, 0)));
    expect(b.recorder.fault).toEqual({ kind: "refused", detail: "goaway" });
    expect(client.connection.retired).toBe(true);
    expect(client.output.ended).toBe(false);
    client.say(headers(1, OK, true));
    expect(a.recorder.ended).toBe(true);
    expect(client.output.ended).toBe(true);
  });

  test("GOAWAY must not take streams back in", () => {
    const client = makeClient();
    client.open();
    client.hear();
    const goaways = [frame("GOAWAY", 0, 0, uint32(1, 0)), frame("GOAWAY", 0, 0, uint32(3, 0))];
    expect(client.say(...goaways)[0]).toStartWith("GOAWAY 0 1 ");
  });

  test("drain: no new streams, and the end behind the open ones", () => {
    const client = makeClient();
    const { recorder } = client.open();
    client.hear();
    client.connection.drain();
    expect(client.connection.capacity).toBe(0);
    expect(client.hear()).toEqual(["GOAWAY 0 0"]);
    expect(client.output.ended).toBe(false);
    client.say(headers(1, OK, true));
    expect(recorder.ended).toBe(true);
    expect(client.output.ended).toBe(true);
  });

  test("a lost connection: what was sent has been reset, what was not is refused", () => {
    const client = makeClient();
    const { recorder } = client.open();
    const unsent = new StreamRecorder<ResponseHead>();
    client.connection.open(unsent);
    client.connection.receiveClose();
    expect(recorder.fault).toEqual({ kind: "peer-reset", detail: "connection_closed" });
    expect(unsent.fault).toEqual({ kind: "refused", detail: "connection_closed" });
  });

  test("a reset after the whole response tells the sender to stop", () => {
    const client = makeClient();
    const { stream, recorder } = client.open({ method: "POST" }, false);
    client.say(headers(1, OK, true), frame("RST_STREAM", 0, 1, uint32(0)));
    expect(recorder.events).toEqual(["head 200 end", "fault peer-reset reset_no_error"]);
    expect(stream.sendData(Buffer.from("a"), true)).toBe(true);
  });
});

describe("extended CONNECT", () => {
  test("waits for the peer's SETTINGS, with all that was sent behind it", () => {
    const client = makeClient(new Uint8Array(0));
    const { stream } = client.open({ upgrade: "websocket", path: "/chat" }, false);
    expect(stream.sendData(Buffer.from("early"), false)).toBe(false);
    client.open({ path: "/other" });
    expect(client.hear()).toEqual(["HEADERS 1 end :method=GET :scheme=http :path=/other :authority=orders.shop"]);
    expect(client.say(settings([8, 1]))).toEqual([
      "SETTINGS 0 ack 0",
      "HEADERS 3 :method=CONNECT :scheme=http :path=/chat :authority=orders.shop :protocol=websocket",
      "DATA 3 5",
    ]);
  });

  test("what ends a held stream is held as well", () => {
    const client = makeClient(new Uint8Array(0));
    client.open({ upgrade: "a" }, false).stream.sendData(new Uint8Array(0), true);
    client.open({ upgrade: "b" }, false).stream.sendTrailers(["x", "y"]);
    client.open({ upgrade: "c" }, true);
    client.hear();
    const lines = client.say(settings([8, 1])).slice(1);
    expect(lines.map((line) => line.replace(/ :method.* :/, " :"))).toEqual([
      "HEADERS 1 :protocol=a",
      "HEADERS 3 :protocol=b",
      "HEADERS 3 end x=y",
      "HEADERS 5 end :protocol=c",
      "DATA 1 end 0",
    ]);
  });

  test("is refused where the peer does not take it", () => {
    const client = makeClient(new Uint8Array(0));
    const held = client.open({ upgrade: "websocket" }, false);
    client.say(settings(), frame("SETTINGS", ACK, 0));
    const late = client.open({ upgrade: "websocket" }, false);
    for (const { recorder } of [held, late]) {
      expect(recorder.fault).toEqual({ kind: "refused", detail: "extended_connect_unsupported" });
    }
    expect(client.connection.openStreams).toBe(0);
  });

  test("a reset while held leaves nothing behind", () => {
    const client = makeClient(new Uint8Array(0));
    const { stream } = client.open({ upgrade: "websocket" }, false);
    stream.reset({ kind: "cancelled", detail: "gone" });
    expect(client.say(settings([8, 1]))).toEqual(["SETTINGS 0 ack 0"]);
    expect(client.connection.openStreams).toBe(0);
  });
});
