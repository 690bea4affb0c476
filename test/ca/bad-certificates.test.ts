/**
 * Some fifty certificates and handshakes that must not get anybody in, each tried over real TLS at either end: as a client
 * of our listener, and as the server that we dial. Each is refused with a line that says why, and nothing is the worse for it.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectTcp, createServer as createTcpServer, type Server } from "node:net";
import { connect as connectTls, createServer, type TLSSocket } from "node:tls";
import { compileRevocations } from "../../src/ca/workload/revocations.ts";
import * as x509 from "../../src/ca/x509.ts";
import { dial } from "../../src/proxy/io/dial.ts";
import type { Listener } from "../../src/proxy/io/listener.ts";
import type { TlsIdentity } from "../../src/proxy/io/tls.ts";
import { listenTls } from "../../src/proxy/io/tls-listener.ts";
import { systemRuntime } from "../../src/proxy/runtime.ts";
import { PeerTrust } from "../../src/proxy/sidecar/peer-trust.ts";
import type { Logger } from "../../src/telemetry/logger.ts";
import { SidecarMetrics } from "../../src/telemetry/sidecar-metrics.ts";
import { answering } from "../support/answering.ts";
import { idOf, TRUST_DOMAIN } from "../support/identities.ts";
import { eventually } from "../support/mesh.ts";
import { type Forged, type ForgeOptions, forge, forgeAuthority } from "./forge.ts";

const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;
const { clientAuth, serverAuth, codeSigning } = x509.ExtendedKeyUsage;
const HOUR_MS = 3_600_000;
const REVOKED_SERIAL = "0badcafe";

interface Presented {
  readonly certificateChain: string;
  readonly privateKey: string;
}

const { root, issuer } = await forgeAuthority("good");
const other = await forgeAuthority("other");
const signing = { ca: true, keyUsage: keyCertSign, extendedKeyUsage: undefined, uris: [] };

/** A leaf under the good issuing certificate, or under another chain. */
async function leaf(options: ForgeOptions = {}, above: readonly Forged[] = [issuer]): Promise<Presented> {
  const [by] = above;
  const made = await forge({ uris: [idOf("orders")], ...(by === undefined ? {} : { by }), ...options });
  return { certificateChain: [made, ...above].map(({ pem }) => pem).join(""), privateKey: made.keyPem };
}

async function leafAlone(): Promise<Presented> {
  const { certificateChain, privateKey } = await leaf();
  return { privateKey, certificateChain: certificateChain.replace(issuer.pem, "") };
}

function named(uri: string): () => Promise<Presented> {
  return () => leaf({ uris: [uri] });
}

const base = `spiffe://${TRUST_DOMAIN}`;
const path = "/ns/shop/sa/orders";

/** What is presented, and what the line about it must say: at our listener, and where it differs, at our dial. */
type Case = readonly [name: string, present: () => Promise<Presented>, inbound: RegExp, outbound?: RegExp];

const CHAIN = /trust bundle/;
const NOT_SVID = /no X\.509-SVID/;

const CASES: readonly Case[] = [
  // The form of a leaf (X509-SVID §4)
  ["for servers only", () => leaf({ extendedKeyUsage: [serverAuth] }), /trust bundle|lacks serverAuth or clientAuth/],
  [
    "for clients only",
    () => leaf({ extendedKeyUsage: [clientAuth] }),
    /lacks serverAuth or clientAuth/,
    /trust bundle|lacks/,
  ],
  ["for signing code", () => leaf({ extendedKeyUsage: [codeSigning] }), /trust bundle|lacks serverAuth/],
  ["for no purpose", () => leaf({ extendedKeyUsage: undefined }), /lacks serverAuth or clientAuth/],
  ["a signing certificate", () => leaf({ ca: true, keyUsage: digitalSignature }), /cA true/],
  [
    "one that may sign certificates",
    () => leaf({ keyUsage: digitalSignature | keyCertSign }),
    /trust bundle|signing others/,
  ],
  ["one that may sign revocations", () => leaf({ keyUsage: digitalSignature | cRLSign }), /allows signing others/],
  ["without key usage", () => leaf({ keyUsage: undefined }), /no critical keyUsage/],
  ["with key usage that is not critical", () => leaf({ keyUsageCritical: false }), /no critical keyUsage/],
  ["a SAN that is not critical under an empty subject", () => leaf({ sanCritical: false }), /not critical/],
  ["no URI", () => leaf({ uris: [] }), /0 URI names/],
  ["two URIs", () => leaf({ uris: [idOf("orders"), idOf("web")] }), /2 URI names/],
  ["the same URI twice", () => leaf({ uris: [idOf("orders"), idOf("orders")] }), /2 URI names/],
  ["a DNS name in place of the URI", () => leaf({ uris: [], dnsNames: ["orders.shop"] }), /0 URI names/],
  [
    "an unknown critical extension",
    () => leaf({ extra: [new x509.Extension("1.2.3.4", true, new Uint8Array([5, 0]))] }),
    /trust bundle|not X\.509/,
  ],
  // Names (SPIFFE-ID §2)
  ["another trust domain", named(`spiffe://other.local${path}`), /not of the trust domain/, /expected/],
  ["a trust domain in capitals", named(`spiffe://MESH.local${path}`), NOT_SVID],
  ["a trust domain with a port", named(`spiffe://${TRUST_DOMAIN}:8443${path}`), NOT_SVID],
  ["a trust domain with a user", named(`spiffe://me@${TRUST_DOMAIN}${path}`), NOT_SVID],
  ["an empty trust domain", named(`spiffe://${path}`), NOT_SVID],
  ["another scheme", named(`https://${TRUST_DOMAIN}${path}`), NOT_SVID],
  ["the scheme in capitals", named(`SPIFFE://${TRUST_DOMAIN}${path}`), NOT_SVID],
  ["no path", named(base), NOT_SVID],
  ["a trailing slash", named(`${base}${path}/`), /trailing slash/],
  ["an empty segment", named(`${base}/ns//sa/orders`), /empty segment/],
  ["a dot segment", named(`${base}/ns/./sa/orders`), /dot segment/],
  ["a double dot segment", named(`${base}/ns/shop/sa/web/../orders`), /dot segment/],
  ["percent-encoding", named(`${base}/ns/shop/sa/%6frders`), NOT_SVID],
  ["a query", named(`${base}${path}?admin`), NOT_SVID],
  ["a fragment", named(`${base}${path}#admin`), NOT_SVID],
  ["a backslash", named(`${base}/ns/shop\\sa\\orders`), NOT_SVID],
  ["a NUL in the name", named(`${base}${path}\0.evil`), NOT_SVID],
  ["a line break in the name", named(`${base}${path}\n`), NOT_SVID],
  ["a segment more", named(`${base}${path}/admin`), /not of the form/],
  ["a segment less", named(`${base}/ns/shop/sa`), /not of the form/],
  ["other segments", named(`${base}/namespace/shop/service/orders`), /not of the form/],
  ["a service in capitals", named(`${base}/ns/shop/sa/Orders`), /DNS labels/],
  ["a service with an underscore", named(`${base}/ns/shop/sa/or_ders`), /DNS labels/],
  ["a name of more than 2,048 bytes", named(`${base}/ns/shop/sa/${"a".repeat(2_048)}`), NOT_SVID],
  // Time
  ["expired", () => leaf({ notAfter: new Date(Date.now() - 60_000) }), /trust bundle|expired/],
  [
    "not valid yet",
    () => leaf({ notBefore: new Date(Date.now() + HOUR_MS), notAfter: new Date(Date.now() + 2 * HOUR_MS) }),
    /trust bundle|only from/,
  ],
  [
    "of an issuing certificate that has expired",
    async () =>
      leaf({}, [await forge({ ...signing, subject: "CN=Old", by: root, notAfter: new Date(Date.now() - 1_000) })]),
    CHAIN,
  ],
  // Chains
  ["signed by itself", () => leaf({}, []), CHAIN],
  ["the right name under another root", () => leaf({}, [other.issuer]), CHAIN],
  ["another root sent along", () => leaf({}, [other.issuer, other.root]), CHAIN],
  ["without the issuing certificate", async () => leafAlone(), /trust bundle|broke off/, CHAIN],
  ["signed by a workload", async () => leaf({}, [await forge({ by: issuer, subject: "CN=workload" }), issuer]), CHAIN],
  [
    "below more issuing certificates than are allowed",
    async () => leaf({}, [await forge({ ...signing, subject: "CN=Sub", by: issuer }), issuer]),
    CHAIN,
  ],
  [
    "under an issuing certificate that may not sign",
    async () => leaf({}, [await forge({ ...signing, ca: false, subject: "CN=None", by: root })]),
    CHAIN,
  ],
  // Revocation
  ["revoked", () => leaf({ serial: REVOKED_SERIAL }), /certificate 0badcafe of .* is revoked/],
];

interface End {
  readonly lines: { refusal: string; reason: string }[];
  readonly trust: PeerTrust;
  readonly metrics: SidecarMetrics;
}

/** What a sidecar has in hand, with a clock that lets every refusal have its line. */
function end(): End {
  const lines: End["lines"] = [];
  const note: Logger["warn"] = (fields) => void lines.push(fields as unknown as End["lines"][number]);
  const logger: Logger = { debug: note, info: note, warn: note, error: note };
  const metrics = new SidecarMetrics();
  let nowMs = 0;
  const runtime = { monotonicMs: () => (nowMs += 10_000) };
  return { lines, metrics, trust: new PeerTrust({ runtime, metrics, logger }) };
}

const revocation = compileRevocations(TRUST_DOMAIN, [
  { namespace: "shop", name: "orders", whole: false, serials: [REVOKED_SERIAL], revision: 7 },
]);

function identityOf(presented: Presented): TlsIdentity {
  return { ...presented, trustBundle: root.pem, trustDomain: TRUST_DOMAIN };
}

describe("as a client of ours", () => {
  const inbound = end();
  let listener: Listener;
  let good: Presented;
  beforeAll(async () => {
    good = await leaf();
    const identity = identityOf(good);
    listener = listenTls({
      address: { host: "127.0.0.1", port: 0 },
      runtime: systemRuntime(),
      accept: answering().accept,
      identity: () => identity,
      revocation,
      onRefused: (peer, refusal) => inbound.trust.refused("inbound", peer, refusal),
    });
  });
  afterAll(() => listener.close());

  /** Node's client, which sends what it is told to; resolves when the connection is gone, or has been answered. */
  function visit(presented: Partial<Presented>, options: object = {}): Promise<string> {
    const { certificateChain: cert, privateKey: key } = presented;
    const { port } = listener.address;
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      cert,
      key,
      ALPNProtocols: ["http/1.1"],
      ...options,
    });
    return answerOf(socket);
  }

  test.each(CASES.map(([name, present, words]) => [name, present, words] as const))("%s", async (_, present, words) => {
    const before = inbound.lines.length;
    expect(await visit(await present())).not.toContain("HTTP/1.1 200");
    await eventually(() =>
      expect(
        inbound.lines
          .slice(before)
          .map(({ reason }) => reason)
          .join(),
      ).toMatch(words),
    );
    expect(listener.connections.size).toBe(0);
  });

  test("no certificate", async () => {
    const before = inbound.lines.length;
    expect(await visit({})).toBe("");
    await eventually(() =>
      expect(inbound.lines[before]?.reason).toBe("the client showed no certificate: this port takes mutual TLS"),
    );
  });

  test("TLS 1.2, plaintext, and bytes that are neither", async () => {
    const before = inbound.lines.length;
    expect(await visit(good, { maxVersion: "TLSv1.2" })).toBe("");
    for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello", "\0".repeat(600)]) {
      const socket = connectTcp(listener.address.port, "127.0.0.1", () => socket.end(Buffer.from(bytes, "latin1")));
      expect(await answerOf(socket)).not.toContain("HTTP/");
    }
    await eventually(() => expect(inbound.lines.length).toBe(before + 4));
    const lines = inbound.lines.slice(before);
    expect(new Set(lines.map(({ refusal }) => refusal))).toEqual(new Set(["handshake_failed"]));
    const plaintext = "the client speaks plaintext, and this port takes mutual TLS only (mtls: strict)";
    expect(lines.map(({ reason }) => reason)).toEqual([
      "the client offers TLS older than 1.3 only",
      plaintext,
      expect.stringMatching(/TLS handshake/),
      plaintext,
    ]);
  });

  test("whoever only looks whether somebody listens is no refusal", async () => {
    const before = inbound.lines.length;
    const socket = connectTcp(listener.address.port, "127.0.0.1", () => socket.destroy());
    await answerOf(socket);
    expect(await visit(good)).toContain("HTTP/1.1 200");
    expect(inbound.lines.length).toBe(before);
  });

  test("a session ticket lets nobody in without a certificate", async () => {
    let session: Buffer | undefined;
    const { port } = listener.address;
    const tls = { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] };
    const first = connectTls({ ...tls, cert: good.certificateChain, key: good.privateKey });
    first.on("session", (ticket: Buffer) => {
      session = ticket;
    });
    expect(await answerOf(first)).toContain("HTTP/1.1 200");
    const { session: unused, ...withTicket } = { ...tls, session };
    void unused;
    expect(await answerOf(connectTls(session === undefined ? withTicket : { ...withTicket, session }))).not.toContain(
      "200",
    );
  });

  test("and then a good one is served as before, and each refusal was counted", async () => {
    expect(await visit(good)).toContain("HTTP/1.1 200");
    const counted = [...inbound.metrics.peersRefused.samples()].reduce((sum, { value }) => sum + value, 0);
    expect(counted).toBe(inbound.lines.length);
  });
});

describe("as a server that we dial", () => {
  const outbound = end();
  let web: Presented;
  beforeAll(async () => {
    web = await leaf({ uris: [idOf("web")] });
  });

  /** What became of our dial to a server that presents this. */
  async function call(presented: Presented): Promise<string> {
    const { certificateChain: cert, privateKey: key } = presented;
    const server = createServer({ cert, key, ca: root.pem, requestCert: true, ALPNProtocols: ["h2"] }, () => {});
    server.on("tlsClientError", () => {});
    return callTo(server);
  }

  async function callTo(server: Server): Promise<string> {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    const outcome = Promise.withResolvers<string>();
    dial({
      address: { host: "127.0.0.1", port },
      runtime: systemRuntime(),
      tls: {
        identity: identityOf(web),
        expectedSpiffeId: idOf("orders"),
        revocation,
        onRefused: (peer, refusal) => outbound.trust.refused("outbound", peer, refusal),
      },
      onConnected: (_codec, wire) => {
        outcome.resolve("connected");
        wire.destroy();
      },
      onFailed: (detail) => outcome.resolve(detail),
      onClosed: () => {},
    });
    const detail = await outcome.promise;
    server.close();
    return detail;
  }

  test("one that speaks TLS 1.2, or none", async () => {
    const before = outbound.lines.length;
    const { certificateChain: cert, privateKey: key } = await leaf({ uris: [idOf("orders")] });
    const old = createServer({ cert, key, maxVersion: "TLSv1.2" });
    old.on("tlsClientError", () => {});
    const plain = createTcpServer((socket) => {
      socket.on("error", () => {});
      // Once it has read what we sent: closed before that, its answer would be lost with the connection.
      socket.once("data", () => socket.resume().end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
    });
    for (const server of [old, plain]) expect(await callTo(server)).toBe("tls_handshake_failed");
    expect(outbound.lines.slice(before).map(({ reason }) => reason)).toEqual([
      "the server broke the TLS handshake off: protocol version (TLS alert)",
      "the server speaks no TLS: plaintext, where mutual TLS was expected",
    ]);
  });

  test.each(CASES.map(([name, present, words, ours = words]) => [name, present, ours] as const))(
    "%s",
    async (_, present, words) => {
      const before = outbound.lines.length;
      expect(await call(await present())).toMatch(/^tls_/);
      expect(
        outbound.lines
          .slice(before)
          .map(({ reason }) => reason)
          .join(),
      ).toMatch(words);
    },
  );

  test("another service of the mesh, and then the right one", async () => {
    expect(await call(await leaf({ uris: [idOf("payment")] }))).toBe("tls_unexpected_identity");
    expect(outbound.lines.at(-1)?.reason).toBe(`expected ${idOf("orders")}, reached ${idOf("payment")}`);
    expect(await call(await leaf())).toBe("connected");
  });
});

/** Asks once the connection stands; resolves with the answer, or with what there was when the connection went. */
function answerOf(socket: TLSSocket | ReturnType<typeof connectTcp>): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.once("secureConnect", () => socket.write("GET /who HTTP/1.1\r\nhost: orders\r\n\r\n"));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("/who ")) return;
      // What comes after an answer, such as a ticket, has come by the time the connection ends.
      socket.end();
    });
    socket.on("error", () => {}).on("close", () => resolve(text));
  });
}
