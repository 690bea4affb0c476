/** Writes every byte that passes any interface of its network namespace to the standard output, frame by frame. */

import { dlopen } from "bun:ffi";
import { writeSync } from "node:fs";

const AF_PACKET = 17;
const SOCK_RAW = 3;
/** `htons(ETH_P_ALL)`. */
const ETH_P_ALL = 0x0300;

const { symbols } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
});

const socket = symbols.socket(AF_PACKET, SOCK_RAW, ETH_P_ALL);
if (socket < 0) process.exit(1);
// What is sent in one go may reach a virtual interface in one go.
const frame = Buffer.alloc(128 * 1024);
writeSync(1, "ready\n");
for (;;) {
  const length = Number(symbols.recv(socket, frame, frame.length, 0));
  if (length > 0) writeSync(1, frame, 0, length);
}
