/** Every bound of the data plane, set low: who meets it is told as docs/limits.md says. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatLimit } from "../../../src/cli/input/limit-option.ts";
import { LIMIT_NAMES, LIMITS, type LimitName, type Limits, limitOption } from "../../../src/proxy/limits.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { Applications } from "../../../src/proxy/sidecar/applications.ts";
import { block, CLIENT_HELLO, END_HEADERS, FrameLog, frame } from "../../support/http2-frames.ts";
import { eventually } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const LOW = {
  headBytesMax: 2048,
  headerCountMax: 20,
  targetBytesMax: 512,
  chunkLineBytesMax: 32,
  trailerBytesMax: 256,
  headTimeoutMs: 300,
  streamIdleTimeoutMs: 700,
  tunnelIdleTimeoutMs: 700,
  earlyAnswerGraceMs: 50,
  drainTimeoutMs: 1_600,
} satisfies Partial<Limits>;

/** Where each of the others is held. */
const HELD_IN: Partial<Record<LimitName, string>> = {
  clientHelloBytesMax: "test/proxy/codec/tls/client-hello.test.ts",
  writeHighWaterBytes: "test/proxy/codec/http1/backpressure.test.ts",
  streamWindowBytes: "test/proxy/codec/http2/server-flow-control.test.ts",
  connectionWindowBytes: "test/proxy/codec/http2/server-flow-control.test.ts",
  concurrentStreamsMax: "test/proxy/codec/http2/server-bounds.test.ts",
  replayBytesMax: "test/proxy/upstream/call.test.ts",
  connectionsMax: "test/proxy/io/listener.test.ts",
  pendingRequestsMax: "test/proxy/upstream/pool.test.ts",
  connectTimeoutMs: "test/proxy/io/dial.test.ts",
  protocolDetectionTimeoutMs: "test/proxy/io/redirect.test.ts",
  handshakeTimeoutMs: "test/proxy/io/listener.test.ts",
  idleTimeoutMs: "test/proxy/io/downstream.test.ts",
  upstreamIdleTimeoutMs: "test/proxy/upstream/pool.test.ts",
  settingsTimeoutMs: "test/proxy/io/keep-alive.test.ts",
  keepAliveIntervalMs: "test/proxy/io/keep-alive.test.ts",
  keepAliveTimeoutMs: "test/proxy/io/keep-alive.test.ts",
  withdrawalGraceMs: "test/proxy/sidecar/withdrawal.test.ts",
  jwksRefetchMs: "test/proxy/sidecar/jwt.test.ts",
};

const ROOT = join(import.meta.dir, "../../..");

test("every bound is held by a test and told by the page", async () => {
  const page = await readFile(join(ROOT, "docs/limits.md"), "utf8");
  for (const name of LIMIT_NAMES) {
    const { value, what, hit } = LIMITS[name];
    expect(page).toContain(`| \`${limitOption(name)}\` | ${formatLimit(name, value)} | ${what} | ${hit} |\n`);
    if (name in LOW || name === "applicationIdleTimeoutMs") continue;
    const held = HELD_IN[name];
    expect(held, `${name} is held by no test`).toBeDefined();
    expect(await readFile(join(ROOT, held ?? ""), "utf8")).toContain(name);
  }
});

let hops: TwoHops;
beforeAll(async () => {
  hops = await TwoHops.start({ limits: LOW });
});
afterAll(() => hops.stop());

const head = (target: string, fields: string): string => `GET ${target} HTTP/1.1\r\nhost: catalog\r\n${fields}\r\n`;
const post = (body: string): string =>
  `POST /echo HTTP/1.1\r\nhost: catalog\r\ntransfer-encoding: chunked\r\n\r\n${body}`;
const fields = (count: number, length: number): string =>
  Array.from({ length: count }, (_, index) => `x-${index}: ${"x".repeat(length)}\r\n`).join("");

describe("what is too large", () => {
  test.each<[LimitName, string, number, string]>([
    ["headBytesMax", head("/head", fields(2, 1500)), 431, "DPE"],
    ["headerCountMax", head("/count", fields(25, 1)), 431, "DPE"],
    ["targetBytesMax", head(`/${"t".repeat(600)}`, ""), 414, "DPE"],
    ["chunkLineBytesMax", post(`1;extension=${"x".repeat(40)}\r\nx\r\n0\r\n\r\n`), 400, "DPE"],
    ["trailerBytesMax", post(`1\r\nx\r\n0\r\nx-trailer: ${"x".repeat(300)}\r\n\r\n`), 431, "DPE"],
    ["headBytesMax", head("/large-head?fields=50", ""), 502, "UPE"],
    ["headerCountMax", head("/large-head?fields=25", ""), 502, "UPE"],
  ])("%s", async (_, request, status, flag) => {
    const before = (await flags()).length;
    const client = await hops.connect();
    client.send(request);
    expect(await client.until("\r\n\r\n")).toStartWith(`HTTP/1.1 ${status} `);
    client.close();
    await eventually(async () => expect((await flags()).slice(before)).toContain(`${status} ${flag}`));
  });
});

/** Of every line of the two access logs: status and flags. */
async function flags(): Promise<string[]> {
  const logs = await Promise.all(
    [hops.web, hops.catalog].map(({ accessLogFile }) => readFile(accessLogFile, "utf8").catch(() => "")),
  );
  const lines = logs.flatMap((text) => text.split("\n")).filter((text) => text !== "");
  return lines.map((text) => {
    const line = JSON.parse(text) as { response_code: number; response_flags: string };
    return `${line.response_code} ${line.response_flags}`;
  });
}

describe("what takes too long", () => {
  test("headTimeoutMs: a head that does not end", async () => {
    // The second may yet become HTTP/2.
    for (const begun of ["GET / HT", "P"]) {
      const client = await hops.connect();
      client.send(begun);
      await client.untilEnded(15_000);
      expect(client.text).toStartWith("HTTP/1.1 408 ");
      expect(client.text.toLowerCase()).toContain("\r\nconnection: close\r\n");
    }
    await eventually(async () => expect((await flags()).filter((one) => one === "408 DPE")).toHaveLength(2));
    const page = await (await fetch(`${hops.web.admin}/metrics`)).text();
    expect(page).toContain('heddle_limits_met_total{direction="outbound",limit="head-timeout"} 2');
  });

  test("streamIdleTimeoutMs: nothing comes", async () => {
    const response = await hops.call("/never");
    expect([response.status, response.headers.get("server")]).toEqual([504, "heddle"]);
    // Both sidecars keep the same time, and either may be the first to give up.
    const lines = await Promise.all([hops.line("/never"), hops.line("/never", hops.catalog)]);
    expect(lines.map(({ response_flags }) => response_flags)).toContain("UT");
  });

  test("tunnelIdleTimeoutMs: a WebSocket on which nobody speaks", async () => {
    const client = await hops.connect();
    client.send(
      head("/socket", "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n").replace(
        /\r\n\r\n$/,
        "\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      ),
    );
    await client.until("101 Switching");
    await client.untilEnded(15_000);
    const line = await hops.line("/socket");
    expect(line.response_code).toBe(101);
  });

  test("earlyAnswerGraceMs: a request whose rest nobody reads is called off", async () => {
    const log = new FrameLog();
    const lines: string[] = [];
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: hops.outboundPort,
      socket: { data: (_, bytes) => void lines.push(...log.lines(bytes)), error() {} },
    });
    const request = block([":method", "POST"], [":path", "/early"], [":scheme", "http"], [":authority", "catalog"]);
    socket.write(Buffer.concat([CLIENT_HELLO, frame("HEADERS", END_HEADERS, 1, request)]));
    await eventually(() => expect(lines.some((line) => line.startsWith("RST_STREAM 1"))).toBe(true));
    expect(lines.findIndex((line) => line.startsWith("HEADERS 1"))).toBeGreaterThanOrEqual(0);
    socket.end();
  });

  test("applicationIdleTimeoutMs: a connection to the application that nobody uses", async () => {
    const application = { host: "127.0.0.1", port: hops.app.port };
    const applications = new Applications({ application }, systemRuntime({ applicationIdleTimeoutMs: 50 }));
    const pool = applications.at(8080, "http/1.1")?.pool;
    pool?.acquire({ onConnection: (connection) => connection.streamEnded(), onNoConnection() {} });
    await eventually(() => expect(pool?.size).toBe(1));
    await eventually(() => expect(pool?.size).toBe(0));
    applications.close();
  });

  test("drainTimeoutMs: what does not end is cut off", async () => {
    const dripping = await hops.call("/drip?pieces=1000000");
    const rest = dripping.text().then(
      () => "whole",
      () => "cut off",
    );
    await hops.web.sidecar.drain();
    await hops.web.stop();
    expect(await rest).toBe("cut off");
  });
});
