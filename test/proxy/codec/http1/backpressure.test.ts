import { expect, test } from "bun:test";
import { Http1ServerConnection } from "../../../../src/proxy/codec/http1/server-connection.ts";
import type { ConnectionOutput, ServerStream } from "../../../../src/proxy/codec/message.ts";
import { DEFAULT_LIMITS } from "../../../../src/proxy/limits.ts";

const limits = { ...DEFAULT_LIMITS, writeHighWaterBytes: 100 };

test("who was told to wait hears when it may go on, though what was on its way fitted again", () => {
  const output = {
    queuedBytes: 0,
    write() {},
    writeCopy() {},
    pauseReading() {},
    resumeReading() {},
    end() {},
    destroy() {},
  };
  const accepted: ServerStream[] = [];
  let drains = 0;
  const connection = new Http1ServerConnection({
    output: output satisfies ConnectionOutput,
    limits,
    scheme: "http",
    accept(stream) {
      accepted.push(stream);
      return {
        onHead() {},
        onInformational() {},
        onData() {},
        onTrailers() {},
        onDrain: () => void drains++,
        onFault() {},
      };
    },
  });
  connection.receive(Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
  const [stream] = accepted;
  if (stream === undefined) throw new Error("no request");
  stream.sendHead({ status: 200, headers: [], contentLength: undefined, version: "1.1" }, false);
  output.queuedBytes = 101;
  expect(stream.sendData(Buffer.from("one"), false)).toBe(false);
  // The socket took some, not all; what comes now was sent before the owner could stop its source.
  output.queuedBytes = 50;
  expect(stream.sendData(Buffer.from("two"), false)).toBe(false);
  output.queuedBytes = 0;
  connection.drained();
  expect(drains).toBe(1);
  expect(stream.sendData(Buffer.from("three"), false)).toBe(true);
  connection.drained();
  expect(drains).toBe(1);
});
