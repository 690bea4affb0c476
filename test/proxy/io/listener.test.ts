/** Who gets in at the TLS listener and who does not, and what the runtime must keep doing for that to hold. */

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect, type SecureVersion, type TLSSocket } from "node:tls";
import { type Listener, listenPlain } from "../../../src/proxy/io/listener.ts";
import type { TlsIdentity } from "../../../src/proxy/io/tls.ts";
import { listenTls } from "../../../src/proxy/io/tls-listener.ts";
import type { LimitName, Limits } from "../../../src/proxy/limits.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { type Answering, answering } from "../../support/answering.ts";
import { CLIENT_HELLO, frame, headers, POST, uint32 } from "../../support/http2-frames.ts";
import { idOf, type TestAuthority, testAuthority } from "../../support/identities.ts";
import { eventually } from "../../support/mesh.ts";
import { RawClient } from "../../support/raw-client.ts";

let authority: TestAuthority;
let foreign: TestAuthority;
let orders: TlsIdentity;
let web: TlsIdentity;
beforeAll(async () => {
  [authority, foreign] = await Promise.all([testAuthority("mesh"), testAuthority("foreign")]);
  [orders, web] = await Promise.all([authority.issue("orders"), authority.issue("web")]);
});

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

interface Started {
  readonly listener: Listener;
  readonly port: number;
  readonly refused: string[];
  /** Bounds that were met, in that order. */
  readonly met: LimitName[];
  readonly app: Answering;
}

function start(limits: Partial<Limits> = {}, identity: () => TlsIdentity | undefined = () => orders): Started {
  const refused: string[] = [];
  const met: LimitName[] = [];
  const app = answering();
  const listener = listenTls({
    address: { host: "127.0.0.1", port: 0 },
    runtime: systemRuntime(limits),
    accept: app.accept,
    identity,
    onRefused: (_peer, { message }) => void refused.push(message),
    onLimit: (limit) => void met.push(limit),
  });
  open.push(listener);
  return { listener, port: listener.address.port, refused, met, app };
}

interface Offer {
  readonly identity?: TlsIdentity | undefined;
  readonly alpn?: string[];
  readonly maxVersion?: SecureVersion;
}

interface Client {
  readonly socket: TLSSocket;
  text: string;
  readonly closed: Promise<void>;
}

/** A client that is not ours: Node's. */
function dialTls(port: number, { identity, alpn, maxVersion }: Offer): Client {
  const closed = Promise.withResolvers<void>();
  const socket = connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    ca: authority.rootPem,
    ...(identity === undefined ? {} : { cert: identity.certificateChain, key: identity.privateKey }),
    ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  });
  const client: Client = { socket, text: "", closed: closed.promise };
  socket.on("data", (chunk: Buffer) => {
    client.text += chunk.toString("latin1");
  });
  socket.on("error", () => {}).on("close", () => closed.resolve());
  open.push({ close: () => socket.destroy() });
  return client;
}

const GET = "GET /who HTTP/1.1\r\nhost: orders\r\n\r\n";

/** Sends a request as soon as the client takes the handshake for done; resolves with the answer, or "" at the end. */
async function ask(port: number, offer: Offer): Promise<string> {
  const client = dialTls(port, offer);
  client.socket.once("secureConnect", () => client.socket.write(GET));
  const answered = eventually(() => {
    if (!client.text.includes("/who ")) throw new Error(`no answer yet: ${client.text}`);
  }, 4_000);
  await Promise.race([answered.catch(() => {}), client.closed]);
  return client.text;
}

describe("gets in:", () => {
  test("a workload of the mesh, under the name that its certificate proves", async () => {
    const { port } = start();
    expect(await ask(port, { identity: web, alpn: ["http/1.1"] })).toEndWith(`/who ${idOf("web")}`);
  });

  test("one without ALPN, which speaks HTTP/1.1 (`curl --cert`)", async () => {
    const { port } = start();
    const client = dialTls(port, { identity: web });
    client.socket.once("secureConnect", () => client.socket.write(GET));
    await eventually(() => expect(client.text).toEndWith(`/who ${idOf("web")}`));
    expect(client.socket.alpnProtocol).toBe(false);
  });

  test("h2 where both are offered, in TLS 1.3, with the server's first frame at once", async () => {
    const { port } = start();
    const client = dialTls(port, { identity: web, alpn: ["http/1.1", "h2"] });
    client.socket.once("secureConnect", () =>
      client.socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    );
    await eventually(() => expect(client.text.charCodeAt(3)).toBe(4));
    expect([client.socket.alpnProtocol, client.socket.getProtocol()]).toEqual(["h2", "TLSv1.3"]);
  });
});

describe("stays out, with a reason for the log:", () => {
  const cases: [name: string, offer: () => Promise<Offer>, reason: RegExp][] = [
    ["a certificate of another authority", async () => ({ identity: await foreign.issue("web") }), /trust bundle/],
    ["no certificate", async () => ({}), /no certificate/],
    [
      "another trust domain, though of the same authority",
      async () => ({ identity: await authority.issue("web", { uris: ["spiffe://other.local/ns/shop/sa/web"] }) }),
      /other\.local/,
    ],
    [
      "an expired certificate",
      async () => ({ identity: await authority.issue("web", { notAfter: new Date(Date.now() - 60_000) }) }),
      /trust bundle|expired/,
    ],
    ["a certificate that is no SVID", async () => ({ identity: await authority.issue("web", { uris: [] }) }), /SVID/],
  ];
  for (const [name, offer, reason] of cases) {
    test(name, async () => {
      const { port, refused, listener } = start();
      expect(await ask(port, await offer())).not.toContain("HTTP/1.1 200");
      await eventually(() => expect(refused.join()).toMatch(reason));
      expect(listener.connections.size).toBe(0);
    });
  }

  test("TLS 1.2", async () => {
    const { port, listener } = start();
    expect(await ask(port, { identity: web, maxVersion: "TLSv1.2" })).toBe("");
    expect(listener.connections.size).toBe(0);
  });

  test("plaintext, which is answered with nothing that it could take for HTTP", async () => {
    const { port, listener } = start();
    const client = await RawClient.connect(port);
    client.send(GET);
    expect(await client.untilEnded()).not.toContain("HTTP/");
    expect(listener.connections.size).toBe(0);
  });

  test("everybody, before there is a certificate", async () => {
    const { port } = start({}, () => undefined);
    expect(await ask(port, { identity: web })).toBe("");
  });
});

describe("bounds:", () => {
  test("a handshake that never comes is ended, and its place is free again", async () => {
    const { port, met } = start({ handshakeTimeoutMs: 60, connectionsMax: 2 });
    const idle = await Promise.all([RawClient.connect(port), RawClient.connect(port)]);
    const third = await RawClient.connect(port);
    await third.untilEnded();
    for (const client of idle) await client.untilEnded();
    expect(met).toEqual(["connectionsMax", "handshakeTimeoutMs", "handshakeTimeoutMs"]);
    expect(await ask(port, { identity: web, alpn: ["http/1.1"] })).toContain("/who");
  });

  test("a handshake that breaks off in the middle frees its place", async () => {
    const { port } = start({ connectionsMax: 1 });
    const half = await RawClient.connect(port);
    half.send("\x16\x03\x01\x00\xc8");
    half.close();
    await eventually(async () => expect(await ask(port, { identity: web, alpn: ["http/1.1"] })).toContain("/who"));
  });

  test("connections beyond the bound are closed at once; one that ends makes room", async () => {
    const { port, listener } = start({ connectionsMax: 1 });
    const first = dialTls(port, { identity: web, alpn: ["http/1.1"] });
    await eventually(() => expect(listener.connections.size).toBe(1));
    expect(await ask(port, { identity: web })).toBe("");
    first.socket.destroy();
    await eventually(() => expect(listener.connections.size).toBe(0));
    expect(await ask(port, { identity: web, alpn: ["http/1.1"] })).toContain("/who");
  });

  test("the plain listener has the same bound", async () => {
    const app = answering();
    const runtime = systemRuntime({ connectionsMax: 1 });
    const listener = listenPlain({ address: { host: "127.0.0.1", port: 0 }, runtime, accept: app.accept });
    open.push(listener);
    const first = await RawClient.connect(listener.address.port);
    first.send(GET);
    await first.until("/who nobody");
    const second = await RawClient.connect(listener.address.port);
    expect(await second.untilEnded()).toBe("");
    first.close();
  });
});

test("a rotation shows the next client the new certificate, on the same port, and keeps open connections", async () => {
  let identity = orders;
  const { port } = start({}, () => identity);
  const before = dialTls(port, { identity: web, alpn: ["http/1.1"] });
  await new Promise((resolve) => before.socket.once("secureConnect", resolve));
  identity = await authority.issue("orders");
  const after = dialTls(port, { identity: web, alpn: ["http/1.1"] });
  await new Promise((resolve) => after.socket.once("secureConnect", resolve));
  const serial = ({ socket }: Client): string => socket.getPeerCertificate().serialNumber;
  expect(serial(after)).not.toBe(serial(before));
  for (const client of [before, after]) {
    client.socket.write(GET);
    await eventually(() => expect(client.text).toContain("/who"));
  }
});

describe("a connection is as good as the certificate that it was made with:", () => {
  test("once that has ended, what is under way is finished, and nothing more is taken", async () => {
    const app = answering();
    let aheadMs = 0;
    const runtime = { ...systemRuntime({ headTimeoutMs: 40 }), wallMs: () => Date.now() + aheadMs };
    const address = { host: "127.0.0.1", port: 0 };
    const identity = (): TlsIdentity => orders;
    const listener = listenTls({ address, runtime, accept: app.accept, identity, onRefused: () => {} });
    open.push(listener);
    const busy = dialTls(listener.address.port, { identity: web, alpn: ["http/1.1"] });
    busy.socket.once("secureConnect", () => busy.socket.write("GET /held HTTP/1.1\r\nhost: orders\r\n\r\n"));
    const stubborn = dialTls(listener.address.port, { identity: web, alpn: ["h2"] });
    stubborn.socket.once("secureConnect", () => stubborn.socket.write(CLIENT_HELLO));
    await eventually(() => expect([...listener.connections].map((one) => one.openStreams).sort()).toEqual([0, 1]));
    await Bun.sleep(50);
    expect(listener.connections.size).toBe(2);
    aheadMs = 25 * 3_600_000;
    // It answers no PING, and is not waited for.
    await stubborn.closed;
    app.release();
    await busy.closed;
    expect(busy.text).toMatch(/connection: close\r\n[\s\S]*\/held /);
  });
});

test("a verified peer's connection outlives thousands of callers who hang up, a stranger's does not", async () => {
  const { port } = start();
  const abort = (id: number): Buffer =>
    Buffer.concat([headers(id, POST, false), frame("RST_STREAM", 0, id, uint32(8))]);
  const aborts = Buffer.concat(Array.from({ length: 3000 }, (_, index) => abort(2 * index + 1)));
  const flood = Buffer.concat([CLIENT_HELLO, aborts, frame("PING", 0, 0, "all well")]);
  const peer = dialTls(port, { identity: web, alpn: ["h2"] });
  peer.socket.once("secureConnect", () => peer.socket.write(flood));
  await eventually(() => expect(peer.text.endsWith("all well")).toBe(true));
  const plain = listenPlain({
    address: { host: "127.0.0.1", port: 0 },
    runtime: systemRuntime(),
    accept: answering().accept,
  });
  open.push(plain);
  const stranger = await RawClient.connect(plain.address.port);
  stranger.send(flood.toString("latin1"));
  expect((await stranger.untilEnded()).endsWith("rapid_reset")).toBe(true);
});

describe("draining:", () => {
  test("new connections are refused, a request under way is answered, idle connections end", async () => {
    const { port, listener, app } = start();
    const busy = dialTls(port, { identity: web, alpn: ["http/1.1"] });
    busy.socket.once("secureConnect", () => busy.socket.write("GET /held HTTP/1.1\r\nhost: orders\r\n\r\n"));
    const idle = dialTls(port, { identity: web, alpn: ["http/1.1"] });
    await eventually(() => expect([...listener.connections].map((one) => one.openStreams).sort()).toEqual([0, 1]));
    listener.drain();
    await idle.closed;
    await expect(RawClient.connect(port)).rejects.toThrow();
    app.release();
    await busy.closed;
    expect(busy.text).toMatch(/connection: close\r\n[\s\S]*\/held /);
    await eventually(() => expect(listener.connections.size).toBe(0));
  });

  test("a peer that was still shaking hands is drained as well", async () => {
    const { port, listener } = start();
    const late = dialTls(port, { identity: web, alpn: ["http/1.1"] });
    await new Promise((resolve) => late.socket.once("connect", resolve));
    await Bun.sleep(0);
    listener.drain();
    await late.closed;
    await eventually(() => expect(listener.connections.size).toBe(0));
  });
});
