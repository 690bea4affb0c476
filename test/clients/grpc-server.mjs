/** A gRPC server on Node and grpc-js. Prints its port. */

import { once } from "node:events";
import { Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { HEALTH_SERVICE, TEST_SERVICE } from "./grpc-service.mjs";

let serving = 1;
let cancelled = 0;

function numbered(value) {
  return Buffer.from(JSON.stringify(value));
}

const implementation = {
  echo(call, answer) {
    const headers = new Metadata();
    const trailers = new Metadata();
    for (const value of call.metadata.get("x-echo")) headers.add("x-echo", value);
    for (const value of call.metadata.get("x-echo-bin")) trailers.add("x-echo-bin", value);
    for (const value of call.metadata.get("x-forwarded-client-cert")) trailers.add("x-caller", value);
    call.sendMetadata(headers);
    answer(null, call.request, trailers);
  },
  fail(_call, answer) {
    const metadata = new Metadata();
    metadata.set("x-reason", "closed");
    answer({ code: status.FAILED_PRECONDITION, details: "not yet: 100 % späť", metadata });
  },
  timeLeft(call, answer) {
    const deadline = call.getDeadline();
    answer(null, numbered({ left: deadline === Number.POSITIVE_INFINITY ? null : Number(deadline) - Date.now() }));
  },
  never(call) {
    call.on("cancelled", () => cancelled++);
  },
  cancelled(_call, answer) {
    answer(null, numbered({ cancelled }));
  },
  collect(call, answer) {
    let messages = 0;
    let size = 0;
    call.on("data", (message) => {
      messages++;
      size += message.length;
    });
    call.on("end", () => answer(null, numbered({ messages, size })));
  },
  async expand(call) {
    const { count, size } = JSON.parse(call.request.toString());
    const message = Buffer.alloc(size, "m");
    for (let sent = 0; sent < (count ?? 1); sent++) if (!call.write(message)) await once(call, "drain");
    if (count !== undefined) call.end();
  },
  chat(call) {
    call.on("data", (message) => call.write(message));
    call.on("end", () => call.end());
  },
  setHealth(call, answer) {
    serving = call.request[0];
    answer(null, Buffer.alloc(0));
  },
};

const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
server.addService(TEST_SERVICE, implementation);
server.addService(HEALTH_SERVICE, { check: (_call, answer) => answer(null, Buffer.from([0x08, serving])) });
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(port);
});
process.stdin.on("close", () => process.exit(0)).resume();
