import { describe, expect, test } from "bun:test";
import { PREFACE } from "../../../../src/proxy/codec/http2/preface.ts";
import { ACK, data, frame, GET, headers, POST, settings, uint32 } from "../../../support/http2-frames.ts";
import { makeServer, type Server } from "../../../support/http2-server.ts";
import { responseHead } from "../../../support/stream-recorder.ts";

describe("the end", () => {
  test("drain: GOAWAY twice, with a PING between, and the end behind the last stream", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    server.connection.drain();
    expect(server.hear()).toEqual(["GOAWAY 2147483647 0", "PING 0 8"]);
    // What was on its way is still served.
    server.say(headers(3, GET, true));
    expect(server.say(frame("PING", ACK, 0, "hdldrain"))).toEqual(["GOAWAY 3 0"]);
    expect(server.say(headers(5, GET, true), data(5, "a", true))).toEqual([]);
    expect(server.accepted).toHaveLength(2);
    server.stream(0).stream.sendHead(responseHead(), true);
    expect(server.output.ended).toBe(false);
    server.stream(1).stream.sendHead(responseHead(), true);
    expect(server.output.ended).toBe(true);
  });

  test("the owner can cut the grace short", () => {
    const server = makeServer();
    server.connection.drain();
    server.connection.drain();
    expect(server.hear()).toEqual(["GOAWAY 2147483647 0", "PING 0 8", "GOAWAY 0 0"]);
    expect(server.output.ended).toBe(true);
  });

  test.each<[string, (server: Server) => void]>([
    ["the peer's end", (server) => server.connection.receiveEnd()],
    ["the socket's end", (server) => server.connection.receiveClose()],
  ])("%s faults every open stream", (_what, end) => {
    const server = makeServer();
    server.say(headers(1, POST, false), headers(3, GET, true));
    end(server);
    for (const { recorder } of server.accepted) {
      expect(recorder.events.at(-1)).toBe("fault peer-reset connection_closed");
    }
    expect(server.connection.openStreams).toBe(0);
    // Their owners may not have heard yet.
    expect(server.stream(0).stream.sendData(Buffer.from("a"), true)).toBe(true);
  });

  test("our own reset is silent towards us, and late frames are ignored", () => {
    const server = makeServer();
    server.say(headers(1, POST, false));
    const { stream, recorder } = server.stream(0);
    stream.reset({ kind: "timeout", detail: "request_timeout" });
    stream.reset({ kind: "timeout", detail: "request_timeout" });
    expect(server.hear()).toEqual(["RST_STREAM 1 8"]);
    expect(server.say(data(1, "late", true))).toEqual([]);
    expect(recorder.events).toEqual(["head POST /"]);
  });

  test("a response that needs no more of the request ends it without an error", () => {
    const server = makeServer();
    server.say(headers(1, POST, false));
    const { stream } = server.stream(0);
    stream.sendHead(responseHead({ status: 413 }), true);
    stream.reset({ kind: "cancelled", detail: "answered_early" });
    expect(server.hear()).toEqual(["HEADERS 1 end :status=413", "RST_STREAM 1 0"]);
  });

  test("and what is queued of the answer goes out first", () => {
    const server = makeServer({}, Buffer.concat([PREFACE, settings([4, 4]), frame("SETTINGS", ACK, 0)]));
    server.say(headers(1, POST, false));
    const { stream } = server.stream(0);
    stream.sendHead(responseHead({ status: 413 }), false);
    stream.sendData(Buffer.from("too large"), true);
    stream.reset({ kind: "cancelled", detail: "answered_early" });
    expect(server.hear()).toEqual(["HEADERS 1 :status=413", "DATA 1 4"]);
    expect(server.say(frame("WINDOW_UPDATE", 0, 1, uint32(100)))).toEqual(["DATA 1 end 5", "RST_STREAM 1 0"]);
    expect(server.connection.openStreams).toBe(0);
  });

  test("a reset that meets one of ours on the way is no nuisance", () => {
    const server = makeServer();
    for (let i = 0; i < 2000; i++) {
      server.say(headers(2 * i + 1, POST, false));
      const { stream } = server.stream(i);
      stream.sendHead(responseHead({ status: 413 }), true);
      stream.reset({ kind: "cancelled", detail: "answered_early" });
      server.say(frame("RST_STREAM", 0, 2 * i + 1, uint32(8)));
    }
    expect(server.output.ended).toBe(false);
  });

  test("calls out of order are our own bug", () => {
    const server = makeServer();
    server.say(headers(1, GET, true));
    const { stream } = server.stream(0);
    expect(() => stream.sendData(Buffer.from("a"), false)).toThrow();
    stream.sendHead(responseHead(), false);
    expect(() => stream.sendHead(responseHead(), false)).toThrow();
    stream.sendData(Buffer.from("a"), true);
  });
});
