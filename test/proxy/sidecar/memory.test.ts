/** One slow side of a large transfer costs the sidecars no more than their bounds. All of both runs in this process. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const MEGABYTE = 1024 * 1024;
const BODY_BYTES = 100 * MEGABYTE;
/** The bounds are under 2 MB per hop; the rest is what the runtime takes for its buffers and its own comfort. */
const GROWTH_MAX = 40 * MEGABYTE;

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start();
  // The first large transfer pays for what later ones use again.
  await (await hops.call(`/stream?bytes=${20 * MEGABYTE}`)).arrayBuffer();
});
afterAll(() => hops.stop());

function residentBytes(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}

test("a reader that stops in the middle of 100 MB, and then takes the rest", async () => {
  const before = residentBytes();
  let received = 0;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: hops.outboundPort,
    socket: {
      data(_socket, chunk) {
        received += chunk.length;
      },
    },
  });
  socket.write(`GET /stream?bytes=${BODY_BYTES} HTTP/1.1\r\nhost: catalog\r\n\r\n`);
  await eventually(() => expect(received).toBeGreaterThan(MEGABYTE));
  socket.pause();
  await Bun.sleep(500);
  expect(residentBytes() - before).toBeLessThan(GROWTH_MAX);
  expect(received).toBeLessThan(BODY_BYTES / 2);
  socket.resume();
  await eventually(() => expect(received).toBeGreaterThan(BODY_BYTES));
  expect(residentBytes() - before).toBeLessThan(GROWTH_MAX);
  socket.terminate();
}, 30_000);

test("an application that does not read the 100 MB that it is sent", async () => {
  const before = residentBytes();
  const chunk = Buffer.alloc(256 * 1024);
  let taken = 0;
  const push = (socket: Socket<undefined>): void => {
    for (let written = chunk.length; written === chunk.length && taken < BODY_BYTES; ) {
      written = Math.max(0, socket.write(chunk));
      taken += written;
    }
  };
  const socket = await Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port: hops.outboundPort,
    socket: { data() {}, drain: push },
  });
  socket.write(`POST /never HTTP/1.1\r\nhost: catalog\r\ncontent-length: ${BODY_BYTES}\r\n\r\n`);
  push(socket);
  await Bun.sleep(700);
  expect(taken).toBeGreaterThan(MEGABYTE / 2);
  // What was taken stands in bounded queues and in the kernel's buffers, of four sockets.
  expect(taken).toBeLessThan(BODY_BYTES / 2);
  expect(residentBytes() - before).toBeLessThan(GROWTH_MAX);
  socket.terminate();
  await eventually(async () => expect((await hops.clusters())[0]?.endpoints[0]?.activeRequests).toBe(0));
}, 30_000);

test("readers that stop and go on, again and again, get all of it", async () => {
  const bytes = 20 * MEGABYTE;
  const read = async (): Promise<void> => {
    let received = 0;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: hops.outboundPort,
      socket: {
        data(_socket, chunk) {
          received += chunk.length;
        },
      },
    });
    socket.write(`GET /stream?bytes=${bytes} HTTP/1.1\r\nhost: catalog\r\n\r\n`);
    for (let seen = 0; received < bytes; seen = received) {
      await eventually(() => expect(received).toBeGreaterThan(seen));
      socket.pause();
      await Bun.sleep(15);
      socket.resume();
    }
    socket.terminate();
  };
  await Promise.all(Array.from({ length: 6 }, read));
}, 30_000);
