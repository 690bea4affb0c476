/** Every condition on which policy tries again, and everything that keeps it from that, at a real caller's sidecar. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type BareAnswer, BareService } from "../../support/bare-service.ts";
import { Fleet } from "../../support/fleet.ts";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/mesh.ts";

const GENEROUS = "backoff: { base: 1ms, max: 1ms }, budget: { percent: 100, minPerSecond: 100000 }";
const rule = (path: string, retries: string, more = ""): string =>
  `{ match: [{ path: { prefix: /${path} } }], retries: { ${retries}, ${GENEROUS} }${more} }`;
const grpc = (code: number): BareAnswer => ({
  status: 200,
  headers: ["content-type", "application/grpc", "grpc-status", String(code)],
});
const status = (code: number, ...headers: string[]): BareAnswer => ({ status: code, headers });

/** By condition: what is tried again, and what is not although others would. */
const CONDITIONS: Readonly<Record<string, readonly [again: readonly BareAnswer[], not: readonly BareAnswer[]]>> = {
  "5xx": [[status(500), status(503), "reset", "refuse"], [status(499)]],
  "gateway-error": [
    [status(502), status(503), status(504), "reset"],
    [status(500), status(501)],
  ],
  reset: [["reset"], ["refuse", status(503)]],
  "refused-stream": [["refuse"], ["reset", status(503)]],
  "retriable-4xx": [[status(409)], [status(404), status(500)]],
  "retriable-status-codes": [[status(425)], [status(409), status(503)]],
  cancelled: [[grpc(1)], [grpc(2)]],
  "deadline-exceeded": [[grpc(4)], [grpc(1)]],
  "resource-exhausted": [[grpc(8)], [grpc(4)]],
  internal: [[grpc(13)], [grpc(8)]],
  unavailable: [[grpc(14)], [grpc(13), grpc(0)]],
};
const RULES = [
  ...Object.keys(CONDITIONS).map((on) =>
    rule(on, `attempts: 1, on: [${on}]${on === "retriable-status-codes" ? ", statusCodes: [425]" : ""}`),
  ),
  rule("connect-failure", "attempts: 1, on: [connect-failure]"),
  rule("each", "attempts: 2, on: [5xx]"),
  rule("hasty", "attempts: 1, on: [5xx]", ", timeout: 4900ms"),
  rule("patient", "attempts: 4, perTryTimeout: 300ms, on: [reset]", ", timeout: 30s"),
];

let fleet: Fleet;
const catalog = new BareService("catalog", 3);
const spent = new BareService("spent", 1);
const partly = new BareService("partly", 1);

beforeAll(async () => {
  const bare = (rules: string, algorithm: string): { spec: string; rules: string } => ({
    spec: `mtls: disabled, loadBalancer: { algorithm: ${algorithm} },`,
    rules,
  });
  fleet = await Fleet.start({
    // Whoever draws without regard to those that failed draws one of them now and then.
    catalog: bare(RULES.join(", "), "random"),
    spent: bare(
      "{ retries: { attempts: 3, on: [5xx], backoff: { base: 1ms }, budget: { percent: 20, minPerSecond: 0 } } }",
      "random",
    ),
    partly: bare(
      [rule("again", "attempts: 1, on: [connect-failure]"), rule("", "attempts: 1, on: [5xx]")].join(", "),
      "round-robin",
    ),
  });
  await Promise.all([catalog, spent].map((service) => service.publish(fleet.mesh, fleet.web)));
  await partly.publish(fleet.mesh, fleet.web, [await freePort()]);
});
beforeEach(() => {
  for (const service of [catalog, spent, partly]) {
    service.requests.length = 0;
    service.script = [];
  }
});
afterAll(async () => {
  await fleet.stop();
  for (const service of [catalog, spent, partly]) service.stop();
});

const GRPC = { method: "POST", body: "message", headers: { "content-type": "application/grpc" } };

describe.each(Object.entries(CONDITIONS))("on %s", (on, [again, not]) => {
  const isGrpc = (answer: BareAnswer): boolean => typeof answer === "object" && answer.headers?.[0] === "content-type";

  test.each(again.map((answer) => [answer]))("%j is tried again, at another instance", async (answer) => {
    catalog.script = [answer];
    const response = await fleet.call("catalog", `/${on}`, isGrpc(answer) ? GRPC : {});
    expect(response.status).toBe(200);
    expect(response.headers.get("grpc-status")).toBeNull();
    const [first, second, ...more] = catalog.requests;
    expect(more).toEqual([]);
    expect(second?.instance).not.toBe(first?.instance as number);
    expect([first?.field("x-envoy-attempt-count"), second?.field("x-envoy-attempt-count")]).toEqual([undefined, "2"]);
    expect(second?.bodyBytes).toBe(first?.bodyBytes as number);
  });

  test.each(not.map((answer) => [answer]))("%j is not", async (answer) => {
    catalog.script = [answer];
    await (await fleet.call("catalog", `/${on}`, isGrpc(answer) ? GRPC : {})).text();
    expect(catalog.requests).toHaveLength(1);
  });
});

test("on connect-failure: no connection is tried again, an answer is not", async () => {
  // In turn: one of two calls goes to where nobody listens.
  for (let n = 0; n < 2; n++) expect((await fleet.call("partly", "/again")).status).toBe(200);
  expect(partly.requests.filter(({ field }) => field("x-envoy-attempt-count") === "2")).toHaveLength(1);
  catalog.script = [status(503)];
  expect((await fleet.call("catalog", "/connect-failure")).status).toBe(503);
  expect(catalog.requests).toHaveLength(1);
});

test("each attempt goes to an instance that has not failed yet", async () => {
  catalog.script = [status(500), "reset", status(500)];
  const response = await fleet.call("catalog", "/each");
  expect(response.status).toBe(500);
  expect(catalog.requests.map(({ instance }) => instance).sort()).toEqual([0, 1, 2]);
});

test("an attempt that takes too long is given up for another one", async () => {
  catalog.script = ["nothing"];
  expect((await fleet.call("catalog", "/patient")).status).toBe(200);
  await eventually(() => expect(catalog.requests[0]?.abandoned).toBe(true));
  const leftMs = Number(catalog.requests[0]?.field("x-envoy-expected-rq-timeout-ms"));
  expect(leftMs).toBeGreaterThan(0);
  expect(leftMs).toBeLessThanOrEqual(300);
});

describe("Retry-After", () => {
  const waitedMs = (): number => (catalog.requests[1]?.atMs ?? 0) - (catalog.requests[0]?.atMs ?? 0);

  test("in seconds is waited for", async () => {
    catalog.script = [status(503, "retry-after", "1")];
    expect((await fleet.call("catalog", "/5xx")).status).toBe(200);
    expect(waitedMs()).toBeGreaterThan(980);
  });

  test("as a date is waited for", async () => {
    catalog.script = [() => status(503, "retry-after", new Date(Date.now() + 2_000).toUTCString())];
    expect((await fleet.call("catalog", "/5xx")).status).toBe(200);
    // A date has whole seconds.
    expect(waitedMs()).toBeGreaterThan(900);
  });

  test("that is too long goes to the caller, with the answer that asks for it", async () => {
    catalog.script = [status(503, "retry-after", "3600")];
    const response = await fleet.call("catalog", "/5xx");
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "3600"]);
    expect(catalog.requests).toHaveLength(1);
  });

  test("that is over only after the request's own time goes to the caller as well", async () => {
    catalog.script = [status(503, "retry-after", "5")];
    const response = await fleet.call("catalog", "/hasty");
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(catalog.requests).toHaveLength(1);
  });
});

describe("a body", () => {
  const KIB = 1024;

  test("is sent again as a whole up to 64 KiB", async () => {
    catalog.script = [status(500)];
    const response = await fleet.call("catalog", "/5xx", { method: "POST", body: new Uint8Array(64 * KIB) });
    expect(response.status).toBe(200);
    expect(catalog.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([64 * KIB, 64 * KIB]);
  });

  test("that is larger is sent once", async () => {
    catalog.script = [status(500)];
    const response = await fleet.call("catalog", "/5xx", { method: "POST", body: new Uint8Array(64 * KIB + 1) });
    expect(response.status).toBe(500);
    expect(catalog.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([64 * KIB + 1]);
  });
});

test("what is tried again stays below the budget of the service", async () => {
  const calls = 50;
  spent.script = Array.from({ length: 4 * calls }, () => status(500));
  for (let n = 0; n < calls; n++) expect((await fleet.call("spent")).status).toBe(500);
  const retries = spent.requests.length - calls;
  expect(retries).toBeGreaterThan(0);
  expect(retries).toBeLessThanOrEqual(0.2 * calls);
  expect(await fleet.metric('heddle_retries_total{upstream="shop/spent"}')).toBe(retries);
});
