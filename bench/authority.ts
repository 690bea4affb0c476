/**
 * What the certificate authority does by itself and under a crowd: signatures per second of a core, how long 1,000 sidecars
 * wait that ask at once (each trying again as a sidecar does where it is turned away), and how long a revoked identity is
 * still served. Run it as
 * `npm run bench:authority`. Needs nats-server; authority and askers share this process, so that the waiting times are upper bounds.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAuthority } from "../src/ca/open-authority.ts";
import { serveSigning } from "../src/ca/sign-service.ts";
import { createKeyAndRequest } from "../src/ca/workload/csr.ts";
import { encodeSignRequest, parseSignReply } from "../src/ca/workload/sign-protocol.ts";
import { subjects } from "../src/nats/subjects.ts";
import { TestMesh } from "../test/support/mesh.ts";
import { startTestNats } from "../test/support/nats.ts";
import { percentile } from "./statistics.ts";

const SIGNATURES = 2_000;
const SIDECARS = 1_000;
const REVOCATIONS = 20;
const RETRY_MS = 1_000;
const TRUST_DOMAIN = "mesh.local";
const USER = `U${"A".repeat(55)}`;

function show(name: string, text: string): void {
  console.log(`${name.padEnd(52)} ${text}`);
}

async function signatures(directory: string): Promise<void> {
  const { issuer } = await openAuthority(directory, { trustDomain: TRUST_DOMAIN, nowMs: Date.now() });
  const { csrPem } = await createKeyAndRequest();
  const request = { spiffeId: `spiffe://${TRUST_DOMAIN}/ns/shop/sa/web`, ttlMs: 3_600_000, nowMs: Date.now() };
  for (let warm = 0; warm < 200; warm++) await issuer.sign(csrPem, request);
  const before = process.cpuUsage();
  for (let count = 0; count < SIGNATURES; count++) await issuer.sign(csrPem, request);
  const { user, system } = process.cpuUsage(before);
  const perSignatureUs = (user + system) / SIGNATURES;
  show(
    "signatures per second of one core",
    `${Math.round(1e6 / perSignatureUs)} (${Math.round(perSignatureUs)} µs each)`,
  );
}

async function crowd(directory: string): Promise<void> {
  const nats = await startTestNats();
  try {
    const authority = await openAuthority(directory, { trustDomain: TRUST_DOMAIN, nowMs: Date.now() });
    const [{ bus: control }, { bus: askers }] = [await nats.connectControl(), await nats.connectControl()];
    const signing = serveSigning(control, {
      trustDomain: TRUST_DOMAIN,
      ttlMs: 3_600_000,
      issuer: () => authority.issuer,
      bundle: () => [authority.rootPem],
      now: Date.now,
      audit: () => {},
    });
    await control.flush();
    const requests = await Promise.all(Array.from({ length: SIDECARS }, createKeyAndRequest));
    let turnedAway = 0;
    const startMs = performance.now();
    const waits = await Promise.all(
      requests.map(async ({ csrPem }, index) => {
        const data = encodeSignRequest({ csr: csrPem, instance: `i${index}` });
        for (;;) {
          const reply = await askers.request(subjects.sign("shop", `s${index}`, USER), data, { timeoutMs: 30_000 });
          const parsed = parseSignReply(reply);
          if (parsed.ok && "chain" in parsed.value) return performance.now() - startMs;
          turnedAway++;
          await Bun.sleep(RETRY_MS * (0.5 + 0.5 * Math.random()));
        }
      }),
    );
    waits.sort((a, b) => a - b);
    const [p50, p99] = [percentile(waits, 0.5), percentile(waits, 0.99)].map(Math.round);
    show(
      `${SIDECARS} sidecars at once, until the certificate`,
      `p50 ${p50} ms, p99 ${p99} ms, ${turnedAway} turned away`,
    );
    signing.stop();
  } finally {
    await nats.stop();
  }
}

const POLICY = ["web", "db"]
  .map(
    (name) => `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { from: [shop/web] } }] }
---
`,
  )
  .join("");

/** From the change being recorded to the end of an open tunnel, which is when every new handshake is refused as well. */
async function revocation(): Promise<void> {
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const mesh = await TestMesh.start();
  try {
    await mesh.apply(POLICY);
    const bound = { namespace: "shop", name: "db", address: { host: "127.0.0.1", port: 0 } };
    const web = await mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams: [bound] });
    await mesh.startSidecar({ service: "shop/db", appPort: typeof address === "object" ? (address?.port ?? 0) : 0 });
    await mesh.converged();
    const identity = { namespace: "shop", name: "web" };
    const port = web.sidecar.upstreamAddresses[0]?.port ?? 0;
    const times: number[] = [];
    while (times.length < REVOCATIONS) {
      const open = await tunnel(port);
      if (open === undefined) {
        await Bun.sleep(50);
        continue;
      }
      const startMs = performance.now();
      await mesh.command("shop", { kind: "revoke-identity", service: identity });
      await open.ended;
      times.push(performance.now() - startMs);
      await mesh.command("shop", { kind: "reinstate-identity", service: identity });
    }
    times.sort((a, b) => a - b);
    const [p50, max] = [percentile(times, 0.5), Math.max(...times)].map(Math.round);
    show("identity revoke until what is open is closed", `p50 ${p50} ms, at most ${max} ms of ${REVOCATIONS}`);
  } finally {
    await mesh.stop();
    server.close();
  }
}

/** What resolves at the end of a tunnel through which something has come back; undefined where none came about. */
async function tunnel(port: number): Promise<{ readonly ended: Promise<void> } | undefined> {
  const socket = connect(port, "127.0.0.1");
  const ended = new Promise<void>((resolve) => socket.on("error", () => {}).once("close", () => resolve()));
  const echoed = new Promise<true>((resolve) => socket.once("data", () => resolve(true)));
  socket.write("ping");
  const works = await Promise.race([echoed, ended]);
  return works === true ? { ended } : undefined;
}

const directory = await mkdtemp(join(tmpdir(), "heddle-authority-"));
await signatures(directory);
await crowd(directory);
await rm(directory, { recursive: true, force: true });
await revocation();
process.exit(0);
