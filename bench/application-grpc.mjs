/** The gRPC service behind every contender: one unary method that answers at once, for Node. */

import { createServer } from "node:http2";

const MESSAGE_BYTES = 130;
/** One message, uncompressed: a flag, its length, itself. */
const answer = Buffer.alloc(5 + MESSAGE_BYTES, "x");
answer.writeUInt8(0, 0);
answer.writeUInt32BE(MESSAGE_BYTES, 1);

const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {}).resume();
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(answer);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
