/**
 * What connections that do nothing, or next to nothing, cost a pair of sidecars in memory: ten thousand that are idle, a
 * thousand that read a large body as slowly as they can, a thousand that write one so. Run it as
 * `npm run bench:connections`; Linux only. The windows that bound it are named in `src/proxy/limits.ts`.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import { DEFAULT_LIMITS } from "../src/proxy/limits.ts";
import { startNodeApp } from "../test/support/node-app.ts";
import { type Memory, memory } from "./accounting.ts";
import { makeCertificates } from "./certificates.ts";
import { startPair } from "./contenders/heddle.ts";
import { HOST } from "./host.ts";

/** Nothing ends here but by itself: no timeouts, and room for all. */
const POLICY = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec: { service: catalog, rules: [{ allow: { from: [shop/web] } }] }
`;

const IDLE = 10_000;
/** The load's own file descriptors, beside a limit of 20,000 that is common. */
const OPENED_AT_ONCE = 250;
const SLOW = 1_000;
const BODY_BYTES = 100 * 1024 * 1024;
/** Memory is at rest when it has changed by less than this share since the last look. */
const REST = 0.02;
/** By then an idle sidecar has given back what it does not need. */
const IDLE_MS = 125_000;
const LOOK_MS = 2_000;
const LOOKS_MAX = 30;
const CHUNK = Buffer.alloc(64 * 1024, "x");

async function main(): Promise<void> {
  await using ending = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "heddle-bench-"));
  ending.defer(() => rm(directory, { recursive: true, force: true }));
  const app = await startNodeApp();
  ending.defer(() => app.kill());
  const pair = await startPair(
    {
      ...{ directory, protocol: "http", applicationPort: app.port },
      certificates: await makeCertificates(directory),
      defer: (stop) => ending.defer(async () => void (await stop())),
    },
    POLICY,
  );
  const names = ["caller's sidecar", "called sidecar"];
  let before = await atRest(pair.pids);
  console.log(
    `windows: stream ${mb(DEFAULT_LIMITS.streamWindowBytes)} MB, queue ${mb(DEFAULT_LIMITS.writeHighWaterBytes)} MB`,
  );

  const step = async (title: string, count: number, hold: () => Promise<Socket<Held>[]>): Promise<void> => {
    const sockets = await hold();
    const after = await atRest(pair.pids);
    const open = sockets.filter(({ data }) => !data.closed).length;
    console.log(`\n${title}: ${open} of ${count} open`);
    for (const [index, name] of names.entries()) {
      const [was, is] = [before[index], after[index]];
      if (was === undefined || is === undefined) continue;
      const eachKb = (is.privateKb - was.privateKb) / count;
      console.log(
        `  ${name.padEnd(18)} RSS ${kb(was.rssKb)} → ${kb(is.rssKb)} MB, ${eachKb.toFixed(1)} KB each (private)`,
      );
    }
    const probe = await fetch(`http://127.0.0.1:${pair.port}/small`, { headers: { host: HOST } });
    console.log(`  another call meanwhile: ${probe.status}`);
    for (const socket of sockets) socket.terminate();
    await Bun.sleep(IDLE_MS);
    before = await atRest(pair.pids);
    console.log(`  when all are gone   RSS ${before.map(({ rssKb }) => kb(rssKb)).join(" and ")} MB`);
  };

  await step("idle connections, after a request each", IDLE, () => held(IDLE, pair.port, ask("/small"), "response"));
  await step(`slow readers of ${mb(BODY_BYTES)} MB`, SLOW, () =>
    held(SLOW, pair.port, ask(`/stream?bytes=${BODY_BYTES}`), "nothing"),
  );
  const upload = `POST /never HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: ${BODY_BYTES}\r\n\r\n`;
  await step(`writers of ${mb(BODY_BYTES)} MB whom the application does not read`, SLOW, () =>
    held(SLOW, pair.port, upload, "flood"),
  );
}

interface Held {
  closed: boolean;
}

const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`;

/**
 * Opens `count` connections, some at once, and sends `request` on each. Then each waits for a `response`, reads
 * `nothing` at all, or writes as much as is taken: a `flood`.
 */
async function held(
  count: number,
  port: number,
  request: string,
  then: "response" | "nothing" | "flood",
): Promise<Socket<Held>[]> {
  const sockets: Socket<Held>[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(OPENED_AT_ONCE, count - sockets.length) }, () =>
      hold(port, request, then),
    );
    sockets.push(...(await Promise.all(some)));
  }
  return sockets;
}

async function hold(port: number, request: string, then: "response" | "nothing" | "flood"): Promise<Socket<Held>> {
  const answered = Promise.withResolvers<void>();
  const pour = (socket: Socket<Held>): void => {
    while (socket.write(CHUNK) === CHUNK.length);
  };
  const socket = await Bun.connect<Held>({
    hostname: "127.0.0.1",
    port,
    data: { closed: false },
    socket: {
      open(opened) {
        opened.write(request);
        if (then === "nothing") opened.pause();
        if (then === "flood") pour(opened);
      },
      data: () => answered.resolve(),
      drain: (drained) => void (then === "flood" && pour(drained)),
      close(closed) {
        closed.data.closed = true;
        answered.resolve();
      },
    },
  });
  if (then === "response") await answered.promise;
  return socket;
}

/** The memory of each process, once it no longer changes. */
async function atRest(pids: readonly number[]): Promise<Memory[]> {
  let last = await Promise.all(pids.map((pid) => memory([pid])));
  for (let look = 0; look < LOOKS_MAX; look++) {
    await Bun.sleep(LOOK_MS);
    const now = await Promise.all(pids.map((pid) => memory([pid])));
    const still = now.every(({ rssKb }, index) => Math.abs(rssKb - (last[index]?.rssKb ?? 0)) < REST * rssKb);
    last = now;
    if (still) break;
  }
  return last;
}

const mb = (bytes: number): string => (bytes / 1024 / 1024).toFixed(bytes < 1024 * 1024 ? 2 : 0);
const kb = (kilobytes: number): string => (kilobytes / 1024).toFixed(0);

await main();
