/** The same certificates in the eyes of an independent implementation. Skipped where there is no `openssl`. */

import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openAuthority } from "../../src/ca/open-authority.ts";
import { decodePem, encodePem } from "../../src/ca/workload/pem.ts";
import { eventually } from "../support/mesh.ts";
import { forge, forgeAuthority } from "./forge.ts";
import { listenTls } from "./handshake.ts";
import { makeCsr } from "./requests.ts";
import { temporaryDirectory } from "./temporary.ts";

const OPENSSL = Bun.which("openssl");
const ID = "spiffe://mesh.local/ns/shop/sa/orders";
const needsOpenssl = test.skipIf(OPENSSL === null);

async function openssl(args: readonly string[], cwd: string) {
  // An open stdin keeps s_client from leaving before the server does.
  const child = Bun.spawn([OPENSSL ?? "openssl", ...args], { cwd, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const [out, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, text: out + errors };
}

/** Writes root, issuer and leaf of a new authority into `directory`. */
async function issueInto(directory: string): Promise<void> {
  const nowMs = Date.now();
  const authority = await openAuthority(directory, { trustDomain: "mesh.local", nowMs });
  const csr = (await makeCsr()).toString("pem");
  const leaf = await authority.issuer.sign(csr, { spiffeId: ID, ttlMs: 3_600_000, nowMs });
  if (!leaf.ok) throw new Error(leaf.error);
  const chain = decodePem("CERTIFICATE", leaf.value.chainPem) ?? [];
  for (const [index, name] of ["leaf.pem", "above.pem"].entries()) {
    await writeFile(join(directory, name), encodePem("CERTIFICATE", chain[index] ?? new Uint8Array()));
  }
  await writeFile(join(directory, "bundle.pem"), authority.rootPem);
}

needsOpenssl("openssl verifies the chain, strictly, for servers and for clients", async () => {
  await using directory = await temporaryDirectory();
  await issueInto(directory.path);
  for (const purpose of ["sslserver", "sslclient"]) {
    const args = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "bundle.pem"];
    expect(await openssl([...args, "-untrusted", "above.pem", "leaf.pem"], directory.path)).toEqual({
      code: 0,
      text: "leaf.pem: OK\n",
    });
    // Without the issuing certificate there is no way up: the check above did not pass for nothing.
    expect((await openssl([...args, "leaf.pem"], directory.path)).code).not.toBe(0);
  }
});

needsOpenssl("openssl reads what SPIFFE X509-SVID demands", async () => {
  await using directory = await temporaryDirectory();
  await issueInto(directory.path);
  const { text: leaf } = await openssl(["x509", "-noout", "-text", "-in", "leaf.pem"], directory.path);
  expect(leaf).toMatch(/Subject: *\n/);
  expect(leaf).toMatch(new RegExp(`Subject Alternative Name: critical\\s+URI:${ID}\n`));
  expect(leaf).toMatch(/Basic Constraints: critical\s+CA:FALSE\n/);
  expect(leaf).toMatch(/X509v3 Key Usage: critical\s+Digital Signature\n/);
  expect(leaf).toMatch(/Extended Key Usage: *\n\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
  expect(leaf).toMatch(/ASN1 OID: prime256v1\n/);
  expect(leaf).toMatch(/Signature Algorithm: ecdsa-with-SHA256\n/);
  const { text: above } = await openssl(["x509", "-noout", "-text", "-in", "above.pem"], directory.path);
  expect(above).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
  expect(above).toMatch(/X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
  const { text: root } = await openssl(["x509", "-noout", "-text", "-in", "bundle.pem"], directory.path);
  expect(root).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:1\n/);
  expect(root).toMatch(/Subject Alternative Name: *\n\s+URI:spiffe:\/\/mesh.local\n/);
});

needsOpenssl("a session made under one trust bundle is not resumed under another", async () => {
  await using directory = await temporaryDirectory();
  const [old, next] = await Promise.all([forgeAuthority("old"), forgeAuthority("next")]);
  const ours = await forge({ by: old.issuer });
  await writeFile(join(directory.path, "leaf.pem"), ours.pem + old.issuer.pem);
  await writeFile(join(directory.path, "key.pem"), ours.keyPem);
  let bundle = old.root.pem;
  let verdicts: boolean[] = [];
  const listener = listenTls(() => ({
    certPem: ours.pem + old.issuer.pem,
    keyPem: ours.keyPem,
    ca: bundle,
    onPeer(peer, socket) {
      verdicts.push(peer.authorized);
      // Something to read, so that the client sees the session ticket, which comes before it.
      socket.write("hello\n");
      socket.end();
    },
  }));
  try {
    const connect = async (...session: string[]) => {
      const address = `127.0.0.1:${listener.port}`;
      const identity = ["-cert", "leaf.pem", "-cert_chain", "leaf.pem", "-key", "key.pem"];
      const { text } = await openssl(
        ["s_client", "-ign_eof", "-connect", address, "-tls1_3", ...identity, ...session],
        directory.path,
      );
      return /^Reused, /m.test(text);
    };
    // Once more where the runtime has made its context anew between the two, which it may.
    await eventually(async () => {
      expect(await connect("-sess_out", "session")).toBe(false);
      expect(await connect("-sess_in", "session")).toBe(true);
    });
    expect(verdicts).not.toContain(false);
    verdicts = [];
    bundle = next.root.pem;
    expect(await connect("-sess_in", "session")).toBe(false);
    expect(verdicts).toEqual([false]);
  } finally {
    listener.stop(true);
  }
});
