/** HTTP/2 peers that went silent: asked whether they are there, and given up where they do not say so. */

import { afterEach, expect, test } from "bun:test";
import type { Socket, TCPSocketListener } from "bun";
import { PREFACE } from "../../../src/proxy/codec/http2/preface.ts";
import type { StreamFault } from "../../../src/proxy/codec/message.ts";
import { type Listener, listenPlain } from "../../../src/proxy/io/listener.ts";
import { alpnProtocols } from "../../../src/proxy/io/tls.ts";
import type { Limits } from "../../../src/proxy/limits.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { Pool } from "../../../src/proxy/upstream/pool.ts";
import { answering } from "../../support/answering.ts";
import { ACK, CLIENT_HELLO, FrameLog, frame, SERVER_HELLO, settings } from "../../support/http2-frames.ts";
import { idOf, testAuthority } from "../../support/identities.ts";
import { eventually } from "../../support/mesh.ts";

/**
 * Asked soon, and given long enough that a slow machine answers in time. The first question comes when the time for the
 * settings is over.
 */
const SOON = { settingsTimeoutMs: 1_000, keepAliveIntervalMs: 50, keepAliveTimeoutMs: 2_000 };

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** A client that answers PING where `answers` says so, and what it has heard. */
async function client(limits: Partial<Limits>, hello: Uint8Array, answers: boolean) {
  const listener: Listener = listenPlain({
    address: { host: "127.0.0.1", port: 0 },
    runtime: systemRuntime(limits),
    accept: answering().accept,
  });
  open.push(listener);
  const heard: string[] = [];
  const log = new FrameLog();
  const closed = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.address.port,
    socket: {
      data(self, bytes) {
        for (const line of log.lines(bytes)) {
          heard.push(line);
          if (answers && line.startsWith("PING")) self.write(frame("PING", ACK, 0, "hdlalive"));
        }
      },
      end: () => closed.resolve(),
      close: () => closed.resolve(),
      error() {},
    },
  });
  socket.write(hello);
  return { heard, closed: closed.promise, listener };
}

test("a client that never acknowledges our SETTINGS is told so (RFC 9113 §6.5.3)", async () => {
  const { heard, closed } = await client({ settingsTimeoutMs: 50 }, Buffer.concat([PREFACE, settings()]), false);
  await closed;
  expect(heard.at(-1)).toStartWith("GOAWAY 0 4 ");
});

test("an idle client that answers stays, as long as connections may be idle", async () => {
  const { heard, closed, listener } = await client({ ...SOON, idleTimeoutMs: 4_000 }, CLIENT_HELLO, true);
  await eventually(() => expect(heard.filter((line) => line.startsWith("PING")).length).toBeGreaterThan(3));
  expect(listener.connections.size).toBe(1);
  // Answering a PING is no use of a connection.
  await closed;
  expect(heard.some((line) => line.startsWith("GOAWAY"))).toBe(true);
});

test("one that does not answer is given up", async () => {
  const limits = { ...SOON, keepAliveTimeoutMs: 50 };
  const { heard, closed } = await client(limits, CLIENT_HELLO, false);
  await closed;
  expect(heard.at(-1)).toStartWith("PING");
});

/** A peer that takes a request and then says nothing, but for PING where `answers` says so. */
async function silentPeer(answers: () => boolean) {
  const authority = await testAuthority("keep-alive");
  const [orders, web] = await Promise.all([authority.issue("orders"), authority.issue("web")]);
  const sockets: Socket<FrameLog>[] = [];
  const heard: string[] = [];
  const server: TCPSocketListener<FrameLog> = Bun.listen<FrameLog>({
    hostname: "127.0.0.1",
    port: 0,
    tls: {
      cert: orders.certificateChain,
      key: orders.privateKey,
      ca: orders.trustBundle,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: alpnProtocols("h2"),
    },
    socket: {
      open(socket) {
        socket.data = new FrameLog();
        sockets.push(socket);
        socket.write(SERVER_HELLO);
      },
      data(socket, bytes) {
        const frames = bytes.subarray(0, PREFACE.length).equals(PREFACE) ? bytes.subarray(PREFACE.length) : bytes;
        for (const line of socket.data.lines(frames)) {
          heard.push(line);
          if (answers() && line.startsWith("PING")) socket.write(frame("PING", ACK, 0, "hdlalive"));
        }
      },
      error() {},
    },
  });
  open.push({ close: () => server.stop(true) });
  return { port: server.port, heard, tls: () => ({ identity: web, expectedSpiffeId: idOf("orders") }) };
}

test("a pooled connection to a peer that died faults its requests, and is not used again", async () => {
  let alive = true;
  const { port, heard, tls } = await silentPeer(() => alive);
  const runtime = systemRuntime(SOON);
  const pool = new Pool({ address: { host: "127.0.0.1", port }, runtime, protocol: "h2", tls });
  open.push(pool);
  const fault = Promise.withResolvers<StreamFault>();
  let refused: string | undefined;
  pool.acquire({
    onConnection({ codec }) {
      const nothing = (): void => {};
      codec
        .open({
          onHead: nothing,
          onInformational: nothing,
          onData: nothing,
          onTrailers: nothing,
          onDrain: nothing,
          onFault: fault.resolve,
        })
        .sendHead(
          {
            method: "GET",
            path: "/",
            authority: "orders",
            scheme: "https",
            absoluteForm: false,
            upgrade: undefined,
            expectContinue: false,
            headers: [],
            contentLength: 0,
            version: "2",
          },
          true,
        );
    },
    onNoConnection(reason, detail) {
      refused = `${reason}: ${detail}`;
    },
  });
  await eventually(() => {
    expect(refused).toBeUndefined();
    expect(heard.filter((line) => line.startsWith("PING")).length).toBeGreaterThan(2);
  });
  expect(pool.size).toBe(1);
  alive = false;
  expect(await fault.promise).toEqual({ kind: "peer-reset", detail: "ping_unanswered" });
  await eventually(() => expect(pool.size).toBe(0));
});
