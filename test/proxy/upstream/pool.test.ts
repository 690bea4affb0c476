/** The pool against real servers, whose connections it opens, shares, reuses and lets go. */

import { afterEach, expect, test } from "bun:test";
import type { ResponseHead, StreamListener } from "../../../src/proxy/codec/message.ts";
import { type Listener, listenPlain } from "../../../src/proxy/io/listener.ts";
import { listenTls } from "../../../src/proxy/io/tls-listener.ts";
import type { Limits } from "../../../src/proxy/limits.ts";
import { type Runtime, systemRuntime } from "../../../src/proxy/runtime.ts";
import { Pool, type PooledConnection, type PoolWaiter } from "../../../src/proxy/upstream/pool.ts";
import { type Answering, answering } from "../../support/answering.ts";
import { idOf, testAuthority } from "../../support/identities.ts";
import { eventually } from "../../support/mesh.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

interface SetUp {
  readonly pool: Pool;
  readonly app: Answering;
  readonly listener: Listener;
  readonly runtime: Runtime;
}

function setUp(protocol: "http/1.1" | "h2", limits: Partial<Limits> = {}, serverLimits: Partial<Limits> = {}): SetUp {
  const app = answering();
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listenPlain({ address, runtime: systemRuntime(serverLimits), accept: app.accept });
  const runtime = systemRuntime(limits);
  const pool = new Pool({ address: listener.address, runtime, protocol });
  open.push(pool, listener);
  return { pool, app, listener, runtime };
}

test("a connection takes no more requests once the peer's certificate has ended", async () => {
  const authority = await testAuthority("pool");
  const [orders, web] = await Promise.all([authority.issue("orders"), authority.issue("web")]);
  const app = answering();
  const address = { host: "127.0.0.1", port: 0 };
  const server = { address, runtime: systemRuntime(), accept: app.accept, identity: () => orders };
  const listener = listenTls({ ...server, onRefused: () => {} });
  let aheadMs = 0;
  const runtime = { ...systemRuntime({ upstreamIdleTimeoutMs: 80 }), wallMs: () => Date.now() + aheadMs };
  const tls = () => ({ identity: web, expectedSpiffeId: idOf("orders") });
  const pool = new Pool({ address: listener.address, runtime, protocol: "h2", tls });
  open.push(pool, listener);
  const held = new Request(pool, "/held");
  await eventually(() => expect(held.connection?.codec.openStreams).toBe(1));
  await Bun.sleep(150);
  expect(held.connection?.codec.retired).toBe(false);
  aheadMs = 25 * 3_600_000;
  await eventually(() => expect(held.connection?.codec.retired).toBe(true));
  app.release();
  await held.ended();
});

/** A waiter that makes one request, and what happened to it. */
class Request implements PoolWaiter {
  readonly events: string[] = [];
  connection: PooledConnection | undefined;

  constructor(
    readonly pool: Pool,
    readonly path: string,
    readonly isCopy = false,
  ) {
    pool.acquire(this);
  }

  onConnection(connection: PooledConnection): void {
    this.connection = connection;
    this.events.push("connection");
    const listener: StreamListener<ResponseHead> = {
      onHead: (_head, end) => void (end && this.#end(connection)),
      onInformational() {},
      onData: (_chunk, end) => void (end && this.#end(connection)),
      onTrailers: () => this.#end(connection),
      onDrain() {},
      onFault: ({ detail }) => void this.events.push(detail),
    };
    const stream = connection.codec.open(listener);
    const head = {
      method: "GET",
      path: this.path,
      authority: "x",
      scheme: "http",
      absoluteForm: false,
      upgrade: undefined,
    };
    stream.sendHead({ ...head, expectContinue: false, headers: [], contentLength: 0, version: "1.1" }, true);
  }

  onNoConnection(reason: string, detail: string): void {
    this.events.push(`${reason} ${detail}`);
  }

  #end(connection: PooledConnection): void {
    this.events.push("end");
    connection.streamEnded();
  }

  async ended(): Promise<void> {
    await eventually(() => expect(this.events.at(-1)).toBe("end"));
  }
}

test("HTTP/1.1: one request at a time on each connection, and the last used is the first reused", async () => {
  const { pool, app, listener } = setUp("http/1.1");
  const three = [1, 2, 3].map((index) => new Request(pool, `/held-${index}`));
  await eventually(() => expect(listener.connections.size).toBe(3));
  await eventually(() => expect([...listener.connections].every(({ openStreams }) => openStreams === 1)).toBe(true));
  app.release();
  await Promise.all(three.map((request) => request.ended()));
  const first = new Request(pool, "/a");
  await first.ended();
  const second = new Request(pool, "/b");
  await second.ended();
  expect(second.connection).toBe(first.connection as PooledConnection);
  expect([pool.size, pool.pending]).toEqual([3, 0]);
});

test("HTTP/2: many requests on one connection, a second one only when the first is full", async () => {
  const { pool, app, listener } = setUp("h2", {}, { concurrentStreamsMax: 5 });
  const warm = new Request(pool, "/warm");
  await warm.ended();
  const five = [1, 2, 3, 4, 5].map((index) => new Request(pool, `/held-${index}`));
  expect(new Set(five.map(({ connection }) => connection)).size).toBe(1);
  expect(pool.size).toBe(1);
  const sixth = new Request(pool, "/sixth");
  expect(sixth.events).toEqual([]);
  await sixth.ended();
  expect(listener.connections.size).toBe(2);
  app.release();
  await Promise.all(five.map((request) => request.ended()));
});

test("those who wait for a dial are served in order of arrival, all of them by one HTTP/2 connection", async () => {
  const { pool, listener } = setUp("h2");
  const many = Array.from({ length: 40 }, (_, index) => new Request(pool, `/${index}`));
  expect(pool.pending).toBe(40);
  await Promise.all(many.map((request) => request.ended()));
  expect(listener.connections.size).toBe(1);
});

test("a waiter that is taken back is not called, and the others are", async () => {
  const { pool } = setUp("http/1.1");
  const [one, two] = [new Request(pool, "/one"), new Request(pool, "/two")];
  pool.cancel(one);
  await two.ended();
  await eventually(() => expect(pool.size).toBe(2));
  expect(one.events).toEqual([]);
  expect(pool.pending).toBe(0);
});

test("a failed dial fails each waiter once", async () => {
  const { pool, listener } = setUp("http/1.1");
  listener.close();
  const waiters = [1, 2, 3].map((index) => new Request(pool, `/${index}`));
  await eventually(() => expect(pool.pending).toBe(0));
  await Bun.sleep(50);
  for (const { events } of waiters) expect(events).toEqual(["connect_failure econnrefused"]);
});

test("a waiter that comes back when its dial failed waits for another", async () => {
  const { pool, listener } = setUp("http/1.1");
  listener.close();
  const reasons: string[] = [];
  const again: PoolWaiter = {
    onConnection() {},
    onNoConnection: (reason) => void (reasons.push(reason) < 3 && pool.acquire(again)),
  };
  pool.acquire(again);
  await eventually(() => expect(reasons).toEqual(["connect_failure", "connect_failure", "connect_failure"]));
  expect(pool.pending).toBe(0);
});

test("beyond the bound on waiting requests: overflow, at once", async () => {
  const { pool } = setUp("http/1.1", { pendingRequestsMax: 2 });
  const three = [1, 2, 3].map((index) => new Request(pool, `/${index}`));
  expect(three[2]?.events).toEqual(["overflow pending_requests"]);
  await Promise.all(three.slice(0, 2).map((request) => request.ended()));
});

test("idle connections are closed before the server would; those in use are not", async () => {
  const { pool, app } = setUp("http/1.1", { upstreamIdleTimeoutMs: 80 });
  const held = new Request(pool, "/held");
  const idle = new Request(pool, "/idle");
  await idle.ended();
  await eventually(() => expect(pool.size).toBe(1), 2_000);
  expect(held.events).toEqual(["connection"]);
  app.release();
  await held.ended();
  await eventually(() => expect(pool.size).toBe(0), 2_000);
});

test("an HTTP/2 connection that requests keep coming on is never taken for idle", async () => {
  const { pool } = setUp("h2", { upstreamIdleTimeoutMs: 100 });
  const first = new Request(pool, "/0");
  await first.ended();
  for (let round = 0; round < 20; round++) {
    const next = new Request(pool, `/${round}`);
    await next.ended();
    expect(next.connection).toBe(first.connection as PooledConnection);
  }
});

test("a connection that the server closes is forgotten, and the next request dials", async () => {
  const { pool, listener } = setUp("http/1.1");
  const one = new Request(pool, "/one");
  await one.ended();
  for (const connection of listener.connections) connection.wire.destroy();
  await eventually(() => expect(pool.size).toBe(0));
  const two = new Request(pool, "/two");
  await two.ended();
  expect(two.connection).not.toBe(one.connection as PooledConnection);
});

test("retired connections finish what they have and take nothing new", async () => {
  for (const protocol of ["http/1.1", "h2"] as const) {
    const { pool, app } = setUp(protocol);
    const held = new Request(pool, "/held");
    await eventually(() => expect(held.events).toEqual(["connection"]));
    pool.retireConnections();
    const next = new Request(pool, "/next");
    await next.ended();
    expect(next.connection).not.toBe(held.connection as PooledConnection);
    await eventually(() => {
      app.release();
      expect(held.events).toEqual(["connection", "end"]);
    });
    await eventually(() => expect(pool.size).toBe(1));
  }
});

test("close: who waits is told that the address is gone, who is served finishes, who comes later is told at once", async () => {
  const { pool, app } = setUp("http/1.1");
  const held = new Request(pool, "/held");
  await eventually(() => expect(held.events).toEqual(["connection"]));
  const waiting = new Request(pool, "/waiting");
  pool.close();
  expect(waiting.events).toEqual(["removed endpoint_removed"]);
  expect(new Request(pool, "/late").events).toEqual(["removed endpoint_removed"]);
  await eventually(() => {
    app.release();
    expect(held.events).toEqual(["connection", "end"]);
  });
  await eventually(() => expect([pool.size, pool.pending]).toEqual([0, 0]));
});

test("nobody is forgotten: requests wait for a server that closes after each answer, and all are served", async () => {
  const address = { host: "127.0.0.1", port: 0 };
  const server = Bun.listen({
    hostname: address.host,
    port: 0,
    socket: {
      data: (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        socket.end();
      },
    },
  });
  open.push({ close: () => server.stop(true) });
  const pool = new Pool({ address: { ...address, port: server.port }, runtime: systemRuntime(), protocol: "http/1.1" });
  open.push(pool);
  const many = Array.from({ length: 30 }, (_, index) => new Request(pool, `/${index}`));
  await Promise.all(many.map((request) => request.ended()));
  await eventually(() => expect([pool.size, pool.pending]).toEqual([0, 0]));
});

test("copies wait where policy lets nobody wait, and count for nobody", () => {
  const runtime = systemRuntime({ pendingRequestsMax: 1 });
  // TEST-NET-1 (RFC 5737): nobody answers there.
  const pool = new Pool({ address: { host: "192.0.2.1", port: 9 }, runtime, protocol: "h2", mayWait: () => false });
  open.push(pool);
  const refused: string[] = [];
  const waiter = (isCopy: boolean): PoolWaiter => ({
    isCopy,
    onConnection() {},
    onNoConnection: (reason) => void refused.push(`${isCopy ? "copy" : "request"} ${reason}`),
  });
  const copy = waiter(true);
  pool.acquire(copy);
  pool.acquire(waiter(true));
  expect([pool.pending, refused]).toEqual([0, []]);
  pool.acquire(waiter(false));
  expect(refused).toEqual(["request overflow"]);
  pool.cancel(copy);
  expect(pool.pending).toBe(0);
});

test("connections of copies take no room of requests, which go before them, and leave them what is to spare", async () => {
  const app = answering();
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listenPlain({ address, runtime: systemRuntime(), accept: app.accept });
  const runtime = systemRuntime();
  const max = 2;
  const pool: Pool = new Pool({
    address: listener.address,
    runtime,
    protocol: "http/1.1",
    mayDial: (isForCopies) => (isForCopies ? pool.openedWithCopies : pool.opened) < max,
  });
  open.push(pool, listener);
  const served = (...requests: Request[]) =>
    eventually(() => expect(requests.map(({ connection }) => connection !== undefined)).not.toContain(false));
  const copies = Array.from({ length: 4 }, () => new Request(pool, "/held", true));
  await served(...copies.slice(0, max));
  expect([pool.opened, pool.openedWithCopies]).toEqual([0, max]);
  const requests = Array.from({ length: 3 }, () => new Request(pool, "/held"));
  await served(...requests.slice(0, max));
  expect([pool.opened, pool.openedWithCopies]).toEqual([max, 2 * max]);
  // The next to come free is for the request that came last of all, and is one of requests from then on.
  const waiting = [...copies.slice(max), ...requests.slice(max)];
  expect(waiting.filter(({ connection }) => connection !== undefined)).toHaveLength(0);
  await eventually(() => {
    app.release();
    expect(requests.at(-1)?.connection).toBeDefined();
  });
  await eventually(() => {
    app.release();
    expect([...copies, ...requests].map(({ events }) => events.at(-1))).toEqual(Array.from({ length: 7 }, () => "end"));
  });
});
