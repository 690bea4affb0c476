/**
 * What the runtime says of good and bad peers, held by real handshakes: the verdict rests on these facts, so that an
 * upgrade of the runtime that changes one of them must fail here.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { verifyClient, verifyServer } from "../../src/ca/workload/verdict.ts";
import * as x509 from "../../src/ca/x509.ts";
import { type Forged, forge, forgeAuthority, LEAF_URI } from "./forge.ts";
import { type Credentials, type Handshake, shakeHands } from "./handshake.ts";

const HOUR_MS = 3_600_000;
const HOST_NAME_MISMATCH = "ERR_TLS_CERT_ALTNAME_INVALID";

type Authority = { root: Forged; issuer: Forged };

let good: Authority;
let client: Credentials;

beforeAll(async () => {
  good = await forgeAuthority("good");
  client = credentials(await forge({ by: good.issuer }), good.issuer);
});

function credentials(leaf: Forged, ...above: readonly Forged[]): Credentials {
  return { certPem: [leaf, ...above].map((certificate) => certificate.pem).join(""), keyPem: leaf.keyPem };
}

/** A peer, by what is wrong with it. */
interface Peer {
  readonly name: string;
  readonly make: () => Promise<Credentials>;
  /** Chain error that TLS reports to a client whose server this is; undefined: the chain verifies. */
  readonly asServer: string | undefined;
  /** And to a server whose client this is. */
  readonly asClient: string | undefined;
  /** Why the leaf is refused for its own sake; undefined: it is good. Of a server whose chain does not verify, the chain is told. */
  readonly refused?: string;
}

function both(code: string): Pick<Peer, "asServer" | "asClient"> {
  return { asServer: code, asClient: code };
}

const SOUND = { asServer: undefined, asClient: undefined };
const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;

const PEERS: readonly Peer[] = [
  { name: "a good SVID", make: async () => credentials(await forge({ by: good.issuer }), good.issuer), ...SOUND },
  {
    name: "the same SPIFFE ID from a foreign authority",
    make: async () => {
      const foreign = await forgeAuthority("foreign");
      return credentials(await forge({ by: foreign.issuer }), foreign.issuer);
    },
    ...both("UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
  },
  {
    name: "a foreign authority that bears the names of ours",
    make: async () => {
      const impostor = await forgeAuthority("good");
      return credentials(await forge({ by: impostor.issuer }), impostor.issuer);
    },
    ...both("UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
  },
  {
    name: "a foreign authority that brings its own root",
    make: async () => {
      const foreign = await forgeAuthority("foreign");
      return credentials(await forge({ by: foreign.issuer }), foreign.issuer, foreign.root);
    },
    ...both("SELF_SIGNED_CERT_IN_CHAIN"),
  },
  {
    name: "an expired leaf",
    make: async () => {
      const end = Date.now() - HOUR_MS;
      const leaf = await forge({ by: good.issuer, notBefore: new Date(end - HOUR_MS), notAfter: new Date(end) });
      return credentials(leaf, good.issuer);
    },
    ...both("CERT_HAS_EXPIRED"),
    refused: "expired",
  },
  {
    name: "a leaf that is not yet valid",
    make: async () => {
      const start = Date.now() + HOUR_MS;
      const leaf = await forge({ by: good.issuer, notBefore: new Date(start), notAfter: new Date(start + HOUR_MS) });
      return credentials(leaf, good.issuer);
    },
    ...both("CERT_NOT_YET_VALID"),
    refused: "not_yet_valid",
  },
  {
    name: "an expired issuing certificate",
    make: async () => {
      const end = Date.now() - HOUR_MS;
      const issuer = await forge({
        by: good.root,
        subject: "CN=late issuer",
        ca: true,
        keyUsage: x509.KeyUsageFlags.keyCertSign,
        extendedKeyUsage: undefined,
        notBefore: new Date(end - HOUR_MS),
        notAfter: new Date(end),
      });
      return credentials(await forge({ by: issuer }), issuer);
    },
    ...both("CERT_HAS_EXPIRED"),
  },
  {
    name: "a self-signed leaf",
    make: async () => credentials(await forge({ subject: "CN=self" })),
    ...both("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
  },
  {
    name: "a leaf without its issuing certificate",
    make: async () => credentials(await forge({ by: good.issuer })),
    ...both("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
  },
  {
    name: "a leaf signed by another workload's leaf",
    make: async () => {
      const signer = await forge({
        by: good.issuer,
        subject: "CN=workload",
        uris: ["spiffe://mesh.local/ns/shop/sa/web"],
      });
      return credentials(await forge({ by: signer }), signer, good.issuer);
    },
    ...both("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
  },
  {
    name: "a leaf below an authority that the path length forbids",
    make: async () => {
      const below = await forge({
        by: good.issuer,
        subject: "CN=too deep",
        ca: true,
        keyUsage: x509.KeyUsageFlags.keyCertSign,
        extendedKeyUsage: undefined,
      });
      return credentials(await forge({ by: below }), below, good.issuer);
    },
    ...both("PATH_LENGTH_EXCEEDED"),
  },
  {
    name: "a critical extension that nobody knows",
    make: async () => {
      const extra = [new x509.Extension("1.2.3.4.5", true, Uint8Array.of(5, 0))];
      return credentials(await forge({ by: good.issuer, extra }), good.issuer);
    },
    ...both("UNSPECIFIED"),
  },
  {
    name: "a leaf without serverAuth",
    make: async () => credentials(await forge({ by: good.issuer, extendedKeyUsage: [clientAuth] }), good.issuer),
    asServer: "INVALID_PURPOSE",
    asClient: undefined,
    refused: "not_an_svid",
  },
  {
    name: "a leaf without clientAuth",
    make: async () => credentials(await forge({ by: good.issuer, extendedKeyUsage: [serverAuth] }), good.issuer),
    asServer: undefined,
    asClient: "INVALID_PURPOSE",
    refused: "not_an_svid",
  },
  {
    name: "a leaf without any extended key usage",
    make: async () => credentials(await forge({ by: good.issuer, extendedKeyUsage: undefined }), good.issuer),
    ...SOUND,
    refused: "not_an_svid",
  },
  {
    name: "a leaf that is a signing certificate",
    make: async () => credentials(await forge({ by: good.issuer, ca: true }), good.issuer),
    ...SOUND,
    refused: "not_an_svid",
  },
];

function shake(server: Credentials, asClient: Credentials | undefined, rejectUnauthorized = true): Promise<Handshake> {
  return shakeHands({ server, client: asClient, serverCa: good.root.pem, clientCa: good.root.pem, rejectUnauthorized });
}

function onServer({ client: seen }: Handshake, expectedSpiffeId = LEAF_URI) {
  return verifyServer({
    authorized: seen.authorized,
    authorizationError: seen.code,
    raw: seen.raw,
    expectedSpiffeId,
    nowMs: Date.now(),
  });
}

function onClient({ server: seen }: Handshake) {
  return verifyClient({ authorized: seen.authorized, raw: seen.raw, trustDomain: "mesh.local", nowMs: Date.now() });
}

describe.each(PEERS)("$name", ({ make, asServer, asClient, refused }) => {
  test("as server", async () => {
    const handshake = await shake(await make(), client);
    expect(handshake.client.code).toBe(asServer ?? HOST_NAME_MISMATCH);
    expect(handshake.client).toMatchObject({ success: false, authorized: false, alpn: "h2" });
    const verdict = onServer(handshake);
    if (asServer !== undefined) expect(verdict).toMatchObject({ ok: false, error: { reason: "chain_not_verified" } });
    else if (refused !== undefined) expect(verdict).toMatchObject({ ok: false, error: { reason: refused } });
    else expect(verdict).toMatchObject({ ok: true, value: { id: LEAF_URI, namespace: "shop", service: "orders" } });
  });

  test.each([true, false])("as client, rejectUnauthorized %p", async (rejectUnauthorized) => {
    const handshake = await shake(client, await make(), rejectUnauthorized);
    // `success` says nothing of the certificate: a server that believed it would let every peer in.
    expect(handshake.server.success).toBe(true);
    expect(handshake.server.authorized).toBe(asClient === undefined);
    expect(handshake.server.code).toBe(asClient);
    if (rejectUnauthorized) expect(handshake.serverReceived).toBe(asClient === undefined ? "ping" : "");
    const verdict = onClient(handshake);
    // What is wrong with the leaf itself is said, and not only that TLS refused it.
    const chain = { reason: "chain_not_verified", message: expect.stringContaining("the trust bundle") };
    if (refused !== undefined) expect(verdict).toMatchObject({ ok: false, error: { reason: refused } });
    else if (asClient !== undefined) expect(verdict).toMatchObject({ ok: false, error: chain });
    else expect(verdict).toMatchObject({ ok: true, value: { id: LEAF_URI, namespace: "shop", service: "orders" } });
  });
});

test("a client without a certificate is refused", async () => {
  const handshake = await shake(client, undefined, false);
  expect(handshake.server.authorized).toBe(false);
  expect(onClient(handshake)).toMatchObject({ ok: false, error: { reason: "no_certificate" } });
  const rejected = await shake(client, undefined);
  expect(rejected.serverReceived).toBe("");
  expect(onClient(rejected).ok).toBe(false);
});

test("a server that is another service is refused", async () => {
  const verdict = onServer(await shake(client, client), "spiffe://mesh.local/ns/shop/sa/payment");
  expect(verdict).toMatchObject({
    ok: false,
    error: {
      reason: "unexpected_identity",
      message: `expected spiffe://mesh.local/ns/shop/sa/payment, reached ${LEAF_URI}`,
    },
  });
});

test("a client of another trust domain is refused, even below our root", async () => {
  const uris = ["spiffe://other.local/ns/shop/sa/orders"];
  const stranger = credentials(await forge({ by: good.issuer, uris }), good.issuer);
  const verdict = onClient(await shake(client, stranger));
  expect(verdict).toMatchObject({ ok: false, error: { reason: "foreign_trust_domain" } });
});

test("a leaf that also names the host makes the client authorized, and is judged all the same", async () => {
  // 127.0.0.1 as iPAddress (RFC 5280 §4.2.1.6), which is what the client compares when it connects by address.
  const named = await forge({
    by: good.issuer,
    uris: ["spiffe://mesh.local/ns/shop/sa/web"],
    ipAddresses: ["127.0.0.1"],
  });
  const handshake = await shake(credentials(named, good.issuer), client);
  expect(handshake.client).toMatchObject({ authorized: true, code: undefined });
  expect(onServer(handshake)).toMatchObject({ ok: false, error: { reason: "unexpected_identity" } });
});

test("a handshake that broke off proves nothing, though it left a certificate and no error", async () => {
  const raw = (await forge({ by: good.issuer })).der;
  const facts = { raw, authorizationError: null, expectedSpiffeId: LEAF_URI, nowMs: Date.now() };
  expect(verifyServer({ ...facts, authorized: false })).toMatchObject({ error: { reason: "chain_not_verified" } });
  expect(verifyServer({ ...facts, authorized: true }).ok).toBe(true);
});
