/** The authority over a real NATS server, with the permissions that workloads really get. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Authority, openAuthority } from "../../src/ca/open-authority.ts";
import { SignLimiter } from "../../src/ca/sign-limiter.ts";
import { type SignAudit, type SigningService, serveSigning } from "../../src/ca/sign-service.ts";
import { readCertificate } from "../../src/ca/workload/certificate.ts";
import { createKeyAndRequest } from "../../src/ca/workload/csr.ts";
import { decodePem } from "../../src/ca/workload/pem.ts";
import { signOverBus } from "../../src/ca/workload/sign-client.ts";
import { parseSignReply, SIGN_REQUEST_BYTES_MAX } from "../../src/ca/workload/sign-protocol.ts";
import { svidIdentity } from "../../src/ca/workload/svid.ts";
import { PermissionDenied, RequestTimeout } from "../../src/nats/bus.ts";
import type { Credentials } from "../../src/nats/credentials.ts";
import { subjects } from "../../src/nats/subjects.ts";
import { startTestNats, type TestBus, type TestNats } from "../support/nats.ts";
import { type TemporaryDirectory, temporaryDirectory } from "./temporary.ts";

const HOUR_MS = 3_600_000;
const TIMEOUT = { timeoutMs: 5_000 };

let directory: TemporaryDirectory;
let nats: TestNats;
let authority: Authority;
let services: SigningService[];
let orders: TestBus & { credentials: Credentials };
const audit: SignAudit[] = [];
/** When the service `revoked` was. */
const REVOKED_MS = Date.now() - 1_500;

beforeAll(async () => {
  directory = await temporaryDirectory();
  [nats, authority] = await Promise.all([
    startTestNats(),
    openAuthority(directory.path, { trustDomain: "mesh.local", nowMs: Date.now() }),
  ]);
  const replicas = [await nats.connectControl(), await nats.connectControl()];
  services = replicas.map(({ bus }) =>
    serveSigning(bus, {
      trustDomain: "mesh.local",
      ttlMs: HOUR_MS,
      issuer: () => authority.issuer,
      bundle: () => [authority.rootPem],
      revocation: (_, service) =>
        service === "orders"
          ? undefined
          : {
              refusal: (instance) => (instance === "good" ? undefined : "the identity of this workload is revoked"),
              issuedBeforeMs: REVOKED_MS,
            },
      now: Date.now,
      audit: (line) => audit.push(line),
    }),
  );
  for (const { bus } of replicas) await bus.flush();
  orders = await connectAs("orders");
});

afterAll(async () => {
  for (const service of services) service.stop();
  await nats.stop();
  await directory[Symbol.asyncDispose]();
});

/** What a sidecar of the service says of itself when it asks with these credentials. */
function asking(service: string, { credentials: { publicKey } }: typeof orders) {
  return { namespace: "shop", service, user: publicKey, instance: `${service}-1` };
}

/** A connection with credentials of the service. */
async function connectAs(service: string): Promise<TestBus & { credentials: Credentials }> {
  const credentials = await nats.mintService("shop", service);
  return { ...(await nats.connect(credentials)), credentials };
}

test("a workload gets a certificate for what its credentials say it is", async () => {
  const before = audit.length;
  const sign = signOverBus(orders.bus, { ...asking("orders", orders), ...TIMEOUT });
  const signed = await sign((await createKeyAndRequest()).csrPem);
  expect(signed.bundle).toEqual([authority.rootPem]);
  const [leaf] = decodePem("CERTIFICATE", signed.chainPem) ?? [];
  const id = "spiffe://mesh.local/ns/shop/sa/orders";
  expect(svidIdentity(leaf ?? new Uint8Array(), Date.now())).toMatchObject({ ok: true, value: { id } });
  // One line: of several replicas one answers.
  expect(audit.slice(before)).toMatchObject([
    { namespace: "shop", service: "orders", outcome: "signed", spiffeId: id },
  ]);
});

test("it cannot ask for somebody else: the server does not let it", async () => {
  const before = audit.length;
  const sign = signOverBus(orders.bus, { ...asking("payment", orders), timeoutMs: 1_000 });
  const { csrPem } = await createKeyAndRequest();
  const error = await sign(csrPem).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error instanceof PermissionDenied || error instanceof RequestTimeout).toBe(true);
  expect(audit.length).toBe(before);
});

describe("refusals are words, and audited", () => {
  test.each<[string, Uint8Array, string]>([
    ["no JSON", Buffer.from("hello"), 'the request must be JSON of the form {"csr": "<PEM>"}'],
    [
      "another form",
      Buffer.from('{"csr": "x", "spiffeId": "y"}'),
      'the request must be JSON of the form {"csr": "<PEM>"}',
    ],
    ["no UTF-8", Uint8Array.of(0xff), 'the request must be JSON of the form {"csr": "<PEM>"}'],
    ["no request", Buffer.from('{"csr": "x"}'), "the request is not a PKCS#10 certificate request in PEM or DER"],
    [
      "too much",
      Buffer.alloc(SIGN_REQUEST_BYTES_MAX + 1),
      'the request must be JSON of the form {"csr": "<PEM>"}, of at most 16384 bytes',
    ],
  ])("%s", async (_, data, error) => {
    const reply = await orders.bus.request(
      subjects.sign("shop", "orders", orders.credentials.publicKey),
      data,
      TIMEOUT,
    );
    expect(parseSignReply(reply)).toEqual({ ok: true, value: { error } });
    expect(audit.at(-1)).toMatchObject({ namespace: "shop", service: "orders", outcome: "refused", reason: error });
  });

  test("a revoked workload", async () => {
    const revoked = await connectAs("revoked");
    const sign = signOverBus(revoked.bus, { ...asking("revoked", revoked), ...TIMEOUT });
    await expect(sign((await createKeyAndRequest()).csrPem)).rejects.toThrow(
      "the authority refused to sign: the identity of this workload is revoked",
    );
    // One that was reinstated since: its validity begins after the revocation, whatever the allowance for slow clocks.
    const again = signOverBus(revoked.bus, { ...asking("revoked", revoked), instance: "good", ...TIMEOUT });
    const { chainPem } = await again((await createKeyAndRequest()).csrPem);
    const leaf = decodePem("CERTIFICATE", chainPem)?.[0] ?? new Uint8Array();
    expect(readCertificate(leaf)?.notBeforeMs).toBe(Math.ceil(REVOKED_MS / 1000) * 1000);
  });
});

describe("bounds", () => {
  test("a service gets its burst, then its rate; others are not touched", () => {
    const limiter = new SignLimiter();
    const ask = (service: string, nowMs: number) => {
      const refused = limiter.enter(service, nowMs);
      if (refused === undefined) limiter.leave();
      return refused;
    };
    for (let count = 0; count < 200; count += 1) expect(ask("shop/wild", 0)).toBeUndefined();
    expect(ask("shop/wild", 0)).toContain("too many");
    expect(ask("shop/calm", 0)).toBeUndefined();
    expect(ask("shop/wild", 50)).toContain("too many");
    expect(ask("shop/wild", 150)).toBeUndefined();
    expect(ask("shop/wild", 150)).toContain("too many");
    expect(ask("shop/wild", 0)).toContain("too many");
  });

  test("no more than 1,024 requests are taken at once", () => {
    const limiter = new SignLimiter();
    for (let count = 0; count < 1_024; count += 1) expect(limiter.enter(`shop/s${count}`, 0)).toBeUndefined();
    expect(limiter.enter("shop/late", 0)).toContain("busy");
    limiter.leave();
    expect(limiter.enter("shop/late", 0)).toBeUndefined();
  });

  test("eight are signed at a time, in the order in which they came, and one that fails makes room too", async () => {
    const limiter = new SignLimiter();
    const begun: number[] = [];
    const ends: PromiseWithResolvers<void>[] = [];
    const outcomes = Array.from({ length: 20 }, (_, index) =>
      limiter.inTurn(async () => {
        begun.push(index);
        const end = Promise.withResolvers<void>();
        ends.push(end);
        await end.promise;
      }),
    );
    expect(begun).toHaveLength(8);
    for (let index = 0; index < 20; index += 1) {
      if (index % 2 === 0) ends[index]?.resolve();
      else ends[index]?.reject(new Error("a test"));
      await outcomes[index]?.catch(() => {});
      await Promise.resolve();
    }
    expect(begun).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect((await Promise.allSettled(outcomes)).filter(({ status }) => status === "rejected")).toHaveLength(10);
  });

  test("a leaf's life below the least is our mistake", async () => {
    const { bus } = await nats.connectControl();
    const options = {
      trustDomain: "mesh.local",
      ttlMs: 1,
      issuer: () => authority.issuer,
      bundle: () => [],
      now: Date.now,
      audit: () => {},
    };
    expect(() => serveSigning(bus, options)).toThrow(RangeError);
  });
});
