/** What rate limits count by, what they tell whoever goes beyond them, and what three instances share. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { serveQuota } from "../../../src/control/quota-service.ts";
import { Fleet } from "../../support/fleet.ts";
import { eventually, type TestSidecar } from "../../support/mesh.ts";
import { serviceDocument } from "../../support/policy.ts";

const ISSUER = "https://id.example";
const MINUTE_MS = 60_000;
const limit = (path: string, fields: string): string => `{ match: [{ path: { prefix: /${path} } }], ${fields} }`;
const SHARED = 60;
const LIMITS = [
  limit("told", "requests: 4, per: 1m, burst: 2"),
  limit("source", "requests: 2, per: 1m, by: source"),
  limit("header", "requests: 2, per: 1m, by: { header: x-tenant }"),
  limit("path", "requests: 2, per: 1m, by: path"),
  limit("claim", "requests: 2, per: 1m, by: { claim: org }"),
  limit("both", "requests: 2, per: 1m, by: [source, { claim: org }]"),
].join(", ");
const SHARED_LIMITS = ["shared", "away", "back"].map((path) =>
  limit(path, `requests: ${SHARED}, per: 1h, scope: mesh`),
);
const OTHER = `${serviceDocument("other", "http")}apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: other-calls }
spec: { service: limited, rules: [{ allow: { from: [shop/other] } }] }
`;

let fleet: Fleet;
let other: TestSidecar;
let sign: (org: string) => Promise<string>;
/** Of the instance that counts: it stands still but for the tests. */
let nowMs = 0;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "one", alg: "ES256" };
  sign = (org) =>
    new SignJWT({ iss: ISSUER, aud: "shop", sub: crypto.randomUUID(), org, exp: Math.floor(Date.now() / 1000) + 600 })
      .setProtectedHeader({ alg: "ES256", kid: "one" })
      .sign(privateKey);
  const jwt = `jwt: { required: false, providers: [{ issuer: "${ISSUER}", audiences: [shop], jwks: { keys: [${JSON.stringify(jwk)}] } }] },`;
  fleet = await Fleet.start({
    limited: { spec: jwt, limits: LIMITS },
    shared: { spec: "loadBalancer: { algorithm: round-robin },", limits: SHARED_LIMITS.join(", ") },
  });
  await fleet.mesh.apply(OTHER);
  await fleet.add("limited", { limited: { monotonicMs: () => nowMs } });
  await fleet.add("shared", { "shared-1": {}, "shared-2": {}, "shared-3": {} });
  other = await fleet.mesh.startSidecar({ service: "shop/other", appPort: 1 });
  await eventually(async () => expect((await callAs(other, "/")).status).toBe(200));
});
afterAll(() => fleet.stop());

function callAs({ outbound }: TestSidecar, path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${outbound}${path}`, { headers: { host: "limited", ...headers } });
}

/** Statuses of so many calls, one after the other. */
async function statuses(count: number, path: string, headers: Record<string, string> = {}, by = fleet.web) {
  const found: number[] = [];
  for (let n = 0; n < count; n++) found.push((await callAs(by, path, headers)).status);
  return found;
}

async function advise(path: string): Promise<(string | null)[]> {
  const { status, headers } = await callAs(fleet.web, path);
  const names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"];
  return [String(status), ...names.map((name) => headers.get(name))];
}

test("whoever goes beyond is told how much there is, and exactly when to come back", async () => {
  expect(await statuses(6, "/told")).toEqual([200, 200, 200, 200, 200, 200]);
  expect(await advise("/told")).toEqual(["429", "4", "0", "60", "60"]);
  nowMs += 20_500;
  expect(await advise("/told")).toEqual(["429", "4", "0", "40", "40"]);
  nowMs += 39_499;
  expect(await advise("/told")).toEqual(["429", "4", "0", "1", "1"]);
  nowMs += 1;
  expect(await statuses(5, "/told")).toEqual([200, 200, 200, 200, 429]);
  // However long nobody comes: what is kept is bounded by burst.
  nowMs += 100 * MINUTE_MS;
  expect(await statuses(7, "/told")).toEqual([200, 200, 200, 200, 200, 200, 429]);
});

test("gRPC is told so in its own words, with the same fields", async () => {
  const headers = { "content-type": "application/grpc" };
  const { status, headers: fields } = await callAs(fleet.web, "/told", headers);
  const names = ["grpc-status", "retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
  expect([status, ...names.map((name) => fields.get(name))]).toEqual([200, "8", "60", "4", "0", "60"]);
});

describe("each has a bucket of its own", () => {
  test("caller, by its proven identity and nothing that it says", async () => {
    expect(await statuses(3, "/source")).toEqual([200, 200, 429]);
    const forged = { "x-forwarded-client-cert": "URI=spiffe://mesh.local/ns/shop/sa/nobody" };
    expect(await statuses(1, "/source", forged)).toEqual([429]);
    expect(await statuses(3, "/source", {}, other)).toEqual([200, 200, 429]);
  });

  test("value of a header", async () => {
    expect(await statuses(3, "/header", { "x-tenant": "a" })).toEqual([200, 200, 429]);
    expect(await statuses(3, "/header", { "x-tenant": "b" })).toEqual([200, 200, 429]);
    expect(await statuses(3, "/header")).toEqual([200, 200, 429]);
  });

  test("path, whatever its query is", async () => {
    expect(await statuses(3, "/path/a")).toEqual([200, 200, 429]);
    expect(await statuses(1, "/path/a?fresh=1")).toEqual([429]);
    expect(await statuses(3, "/path/b")).toEqual([200, 200, 429]);
  });

  test("claim of a validated token, whoever bears it", async () => {
    const bearer = async (org: string) => ({ authorization: `Bearer ${await sign(org)}` });
    expect(await statuses(1, "/claim", await bearer("red"))).toEqual([200]);
    expect(await statuses(2, "/claim", await bearer("red"))).toEqual([200, 429]);
    expect(await statuses(3, "/claim", await bearer("blue"))).toEqual([200, 200, 429]);
    // Without a token all are alike.
    expect(await statuses(3, "/claim")).toEqual([200, 200, 429]);
    expect(await statuses(1, "/claim", { "x-org": "green" })).toEqual([429]);
  });

  test("caller and claim together", async () => {
    const red = { authorization: `Bearer ${await sign("red")}` };
    expect(await statuses(3, "/both", red)).toEqual([200, 200, 429]);
    expect(await statuses(3, "/both", red, other)).toEqual([200, 200, 429]);
  });
});

test("another snapshot fills no bucket", async () => {
  nowMs += MINUTE_MS;
  expect(await statuses(3, "/header", { "x-tenant": "kept" })).toEqual([200, 200, 429]);
  const revision = await fleet.declare("limited", { limits: `${LIMITS}, ${limit("more", "requests: 1, per: 1s")}` });
  await eventually(async () => {
    const { admin } = fleet.sidecar("limited");
    const dump = (await (await fetch(`${admin}/config_dump`)).json()) as { snapshot: { revision: number } };
    expect(dump.snapshot.revision).toBeGreaterThanOrEqual(revision);
  });
  expect(await statuses(1, "/header", { "x-tenant": "kept" })).toEqual([429]);
  expect(await statuses(1, "/header", { "x-tenant": "new" })).toEqual([200]);
});

describe("three instances share one budget", () => {
  /** Each may have spent a tenth of it on credit before it was told that nothing is left. */
  const SHARED_MAX = SHARED + 3 * (SHARED / 10);

  /** How many calls get through until the bucket has been empty at every instance for some time. */
  async function passed(path: string): Promise<number> {
    let through = 0;
    for (let refused = 0; refused < 100; ) {
      const { status } = await fleet.call("shared", path);
      if (status === 200) through++;
      refused = status === 200 ? 0 : refused + 1;
    }
    return through;
  }

  test("while control answers", async () => {
    let through = 0;
    await eventually(async () => {
      through += await passed("/shared");
      expect(through).toBeGreaterThanOrEqual(SHARED);
    });
    expect(through).toBeLessThanOrEqual(SHARED_MAX);
  });

  test("each has all of it while control is away, and they share again when it is back", async () => {
    const { control } = fleet.mesh;
    fleet.mesh.quota.stop();
    await control.flush();
    let through = 0;
    await eventually(async () => {
      through += await passed("/away");
      expect(through).toBeGreaterThanOrEqual(3 * SHARED);
    });
    expect(through).toBeLessThanOrEqual(3 * (SHARED + SHARED / 10));
    const state = () => fleet.mesh.ledger.state;
    const quota = serveQuota({ bus: control, state, monotonicMs: () => performance.now() });
    await control.flush();
    try {
      let shared = 0;
      await eventually(async () => {
        shared += await passed("/back");
        expect(shared).toBeGreaterThanOrEqual(SHARED);
      });
      expect(shared).toBeLessThanOrEqual(SHARED_MAX);
    } finally {
      quota.stop();
    }
  });
});
