/** Connections out: every way in which one can fail to come about, each told once and by name. */

import { afterEach, beforeAll, expect, test } from "bun:test";
import { createServer, type TlsOptions } from "node:tls";
import { type DialOptions, dial, type PeerTls } from "../../../src/proxy/io/dial.ts";
import type { TlsIdentity } from "../../../src/proxy/io/tls.ts";
import { listenTls } from "../../../src/proxy/io/tls-listener.ts";
import type { Wire } from "../../../src/proxy/io/wire.ts";
import type { Limits } from "../../../src/proxy/limits.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import type { ForgeOptions } from "../../ca/forge.ts";
import { answering } from "../../support/answering.ts";
import { idOf, type TestAuthority, testAuthority } from "../../support/identities.ts";
import { eventually } from "../../support/mesh.ts";

let authority: TestAuthority;
let foreign: TestAuthority;
let web: TlsIdentity;
beforeAll(async () => {
  [authority, foreign] = await Promise.all([testAuthority("mesh"), testAuthority("foreign")]);
  web = await authority.issue("web");
});

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

interface Outcome {
  /** What was called, in order. */
  readonly events: string[];
  wire: Wire | undefined;
}

function attempt(port: number, options: Partial<DialOptions> = {}, limits: Partial<Limits> = {}): Outcome {
  const outcome: Outcome = { events: [], wire: undefined };
  dial({
    address: { host: "127.0.0.1", port },
    runtime: systemRuntime(limits),
    onConnected: (_codec, wire) => {
      outcome.wire = wire;
      outcome.events.push("connected");
    },
    onFailed: (detail) => void outcome.events.push(detail),
    onClosed: () => void outcome.events.push("closed"),
    ...options,
  });
  open.push(() => outcome.wire?.destroy());
  return outcome;
}

/** Resolves with all that was called, once anything was and some time for more has passed. */
async function settled(outcome: Outcome): Promise<string[]> {
  await eventually(() => expect(outcome.events.length).toBeGreaterThan(0));
  await Bun.sleep(40);
  return outcome.events;
}

const towards = (service: string): PeerTls => ({ identity: web, expectedSpiffeId: idOf(service) });

async function listenAs(service: string, options: ForgeOptions = {}, by = authority): Promise<number> {
  const identity = await by.issue(service, options);
  const listener = listenTls({
    address: { host: "127.0.0.1", port: 0 },
    runtime: systemRuntime(),
    accept: answering().accept,
    // Whatever it shows, it believes in our own authority: this is about what the client makes of it.
    identity: () => ({ ...identity, trustBundle: authority.rootPem }),
    onRefused: () => {},
  });
  open.push(() => listener.close());
  return listener.address.port;
}

/** A TCP server that does with connections what `onOpen` says. */
function listenRaw(onOpen: (socket: { terminate(): void; end(): void; write(text: string): number }) => void): number {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => onOpen(socket), data() {}, error() {} },
  });
  open.push(() => server.stop(true));
  return server.port;
}

test("the service that was meant: connected, over HTTP/2", async () => {
  const outcome = attempt(await listenAs("orders"), { tls: towards("orders") });
  expect(await settled(outcome)).toEqual(["connected"]);
  outcome.wire?.destroy();
  await eventually(() => expect(outcome.events).toEqual(["connected", "closed"]));
});

test("another service of the mesh: unexpected identity", async () => {
  expect(await settled(attempt(await listenAs("payment"), { tls: towards("orders") }))).toEqual([
    "tls_unexpected_identity",
  ]);
});

test("an expired certificate", async () => {
  const port = await listenAs("orders", { notAfter: new Date(Date.now() - 60_000) });
  expect(await settled(attempt(port, { tls: towards("orders") }))).toEqual(["tls_chain_not_verified"]);
});

test("a certificate of another authority", async () => {
  expect(await settled(attempt(await listenAs("orders", {}, foreign), { tls: towards("orders") }))).toEqual([
    "tls_chain_not_verified",
  ]);
});

test("a server that knows no TLS 1.3", async () => {
  const identity = await authority.issue("orders");
  const options: TlsOptions = { cert: identity.certificateChain, key: identity.privateKey, maxVersion: "TLSv1.2" };
  const server = createServer(options);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => server.close());
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const events = await settled(attempt(port, { tls: towards("orders") }));
  expect(events).toHaveLength(1);
  expect(events[0]).not.toBe("connected");
});

test("nobody listens: refused", async () => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  server.stop(true);
  expect(await settled(attempt(server.port))).toEqual(["econnrefused"]);
  expect(await settled(attempt(server.port, { tls: towards("orders") }))).toEqual(["econnrefused"]);
});

test("a host that cannot be resolved", async () => {
  const address = { host: "no-such-host.invalid", port: 1 };
  const events = await settled(attempt(1, { address }, { connectTimeoutMs: 2_000 }));
  expect(events).toHaveLength(1);
  expect(events).not.toEqual(["connected"]);
});

test("a server that accepts and says nothing: connect timeout, and the socket is closed", async () => {
  let closed = 0;
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {}, close: () => void closed++ } });
  open.push(() => server.stop(true));
  const outcome = attempt(server.port, { tls: towards("orders") }, { connectTimeoutMs: 60 });
  expect(await settled(outcome)).toEqual(["connect_timeout"]);
  await eventually(() => expect(closed).toBe(1));
});

test("a blackholed address: connect timeout", async () => {
  // TEST-NET-1 (RFC 5737): nobody answers there.
  const address = { host: "192.0.2.1", port: 9 };
  const events = await settled(attempt(9, { address }, { connectTimeoutMs: 80 }));
  expect(events).toHaveLength(1);
  // Where there is no route at all, the kernel says so at once.
  expect(["connect_timeout", "enetunreach", "ehostunreach", "econnrefused"]).toContain(events[0] ?? "");
});

test("a server that closes, resets or talks nonsense in the middle of the handshake", async () => {
  const ports = [
    listenRaw((socket) => socket.end()),
    listenRaw((socket) => socket.terminate()),
    listenRaw((socket) => void socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")),
  ];
  for (const port of ports) {
    const events = await settled(attempt(port, { tls: towards("orders") }, { connectTimeoutMs: 2_000 }));
    expect(events).toHaveLength(1);
    expect(events[0]).not.toBe("connected");
    expect(events[0]).toMatch(/^[a-z_]+$/);
  }
});
