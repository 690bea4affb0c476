/** A gRPC client on Node and grpc-js: answers with how calls went. Arguments: port, authority. */

import { createHash } from "node:crypto";
import { credentials, Metadata, makeGenericClientConstructor } from "@grpc/grpc-js";
import { answerQuestions } from "./answering.mjs";
import { TEST_SERVICE } from "./grpc-service.mjs";

const [port, authority] = process.argv.slice(2);
const TestClient = makeGenericClientConstructor(TEST_SERVICE, "heddle.Test");
const client = new TestClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
  "grpc.default_authority": authority,
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  // Whatever fails is told as it was: nothing is tried again behind the test's back.
  "grpc.enable_retries": 0,
});

function failure(error) {
  return { code: error.code, details: error.details, trailers: error.metadata?.getMap() };
}

function sha256(buffer) {
  return createHash("sha256").update(buffer).digest("hex");
}

/** One call with one answer. */
function unary(method, message, { metadata = new Metadata(), deadlineMs } = {}) {
  return new Promise((resolve) => {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    let headers = {};
    let trailers = {};
    let answer;
    const call = client[method](message, metadata, options, (error, response) => {
      answer = error === null ? { code: 0, response } : failure(error);
    });
    call.on("metadata", (received) => {
      headers = received.getMap();
    });
    call.on("status", (status) => {
      trailers = status.metadata.getMap();
      setImmediate(() => resolve({ headers, trailers, ...answer }));
    });
  });
}

async function jsonOf(method, options) {
  const { code, response, details } = await unary(method, Buffer.alloc(0), options);
  return { code, details, ...(response === undefined ? {} : JSON.parse(response.toString())) };
}

const kinds = {
  /** Sends `size` bytes, and tells of the answer by its digest. */
  async echo({ size, header, binary }) {
    const metadata = new Metadata();
    if (header !== undefined) metadata.set("x-echo", header);
    if (binary !== undefined) metadata.set("x-echo-bin", Buffer.from(binary, "hex"));
    const message = Buffer.alloc(size, "0123456789abcdef");
    const { response, ...rest } = await unary("echo", message, { metadata });
    const hex = rest.trailers["x-echo-bin"]?.toString("hex");
    return { ...rest, same: response !== undefined && sha256(response) === sha256(message), hex };
  },
  fail: () => unary("fail", Buffer.alloc(0)),
  timeLeft: ({ deadlineMs }) => jsonOf("timeLeft", { deadlineMs }),
  never: ({ deadlineMs }) => jsonOf("never", { deadlineMs }),
  cancelled: () => jsonOf("cancelled"),
  setHealth: async ({ status }) => (await unary("setHealth", Buffer.from([status]))).code,
  /** Makes `count` calls at once; tells how many ended with which code. */
  async many({ count, size }) {
    const message = Buffer.alloc(size, "x");
    const codes = {};
    await Promise.all(
      Array.from({ length: count }, async () => {
        const { code } = await unary("echo", message);
        codes[code] = (codes[code] ?? 0) + 1;
      }),
    );
    return codes;
  },
  collect: ({ count, size }) =>
    new Promise((resolve) => {
      const call = client.collect((error, response) =>
        resolve(error === null ? JSON.parse(response.toString()) : failure(error)),
      );
      const message = Buffer.alloc(size, "c");
      for (let sent = 0; sent < count; sent++) call.write(message);
      call.end();
    }),
  /** At the first message, cancels where `cancel` says so, and ends the process `kill` where it names one. */
  expand: ({ cancel, kill, ...request }) =>
    new Promise((resolve) => {
      let messages = 0;
      let size = 0;
      const call = client.expand(Buffer.from(JSON.stringify(request)));
      call.on("data", (message) => {
        messages++;
        size += message.length;
        if (cancel) call.cancel();
        if (kill !== undefined) process.kill(kill, "SIGKILL");
      });
      call.on("error", () => {});
      call.on("status", ({ code, details }) => resolve({ code, details, messages, size }));
    }),
  /** Ping-pong: each message goes out when the answer to the last has come. */
  chat: ({ rounds }) =>
    new Promise((resolve) => {
      const heard = [];
      const call = client.chat();
      call.on("data", (message) => {
        heard.push(message.toString());
        if (heard.length < rounds) call.write(Buffer.from(String(heard.length)));
        else call.end();
      });
      call.on("error", () => {});
      call.on("status", ({ code }) => resolve({ code, heard }));
      call.write(Buffer.from("0"));
    }),
  async cancelNever() {
    const error = await new Promise((resolve) => {
      const call = client.never(Buffer.alloc(0), resolve);
      setTimeout(() => call.cancel(), 100);
    });
    return failure(error);
  },
};

client.waitForReady(Date.now() + 10_000, (error) => {
  if (error) throw error;
  console.log("ready");
  answerQuestions(kinds);
});
