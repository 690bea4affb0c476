import { afterAll, beforeAll, expect, test } from "bun:test";
import { Chain } from "../../support/chain.ts";
import { eventually } from "../../support/mesh.ts";

const EXPECTED = "x-envoy-expected-rq-timeout-ms";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let chain: Chain;
const never = new Promise<Response>(() => {});

beforeAll(async () => {
  chain = await Chain.start({
    services: ["a", "b", "c"],
    rule: "{ timeout: 30s }",
    last: (request) => (new URL(request.url).pathname === "/never" ? never : new Response("ok")),
    passesOn: ["x-request-id", "traceparent"],
  });
});
afterAll(() => chain.stop());

function statedAt(name: string): number {
  return Number(chain.at(name).at(-1)?.headers.get(EXPECTED));
}

test("each hop is told what is left of the first one's time, although no application passes it on", async () => {
  expect((await chain.call("/", { headers: { "x-envoy-upstream-rq-timeout-ms": "20000" } })).status).toBe(200);
  const [a, b, c] = [statedAt("a"), statedAt("b"), statedAt("c")];
  expect(a).toBeLessThanOrEqual(20_000);
  expect(b).toBeLessThanOrEqual(a);
  expect(c).toBeLessThanOrEqual(b);
  expect(c).toBeGreaterThan(0);
  // A caller cannot make policy wait for longer.
  await chain.call("/", { headers: { "x-envoy-upstream-rq-timeout-ms": "3600000" } });
  expect(statedAt("a")).toBeLessThanOrEqual(30_000);
});

test("a trace will do where an application does not pass on the request's id", async () => {
  await chain.call("/", { headers: { "x-envoy-upstream-rq-timeout-ms": "20000", traceparent: TRACE } });
  expect(statedAt("c")).toBeLessThanOrEqual(20_000);
  await chain.call("/", { headers: { traceparent: TRACE } });
  expect(statedAt("c")).toBeGreaterThan(20_000);
});

test("when time is up nobody goes on working, down to the last hop", async () => {
  const isNever = ({ path }: { path: string }): boolean => path === "/never";
  // On a slow machine time may be up before the request gets to the end.
  for (let timeoutMs = 300; !chain.at("c").some(isNever); timeoutMs *= 2) {
    const response = await chain.call("/never", { headers: { "x-envoy-upstream-rq-timeout-ms": String(timeoutMs) } });
    expect(response.status).toBe(504);
    await response.text();
  }
  await eventually(() => {
    for (const arrival of chain.at("c").filter(isNever)) expect(arrival.abandoned()).toBe(true);
    // Those in front may hear of it from behind first, and answer.
    for (const arrival of [...chain.at("a"), ...chain.at("b")].filter(isNever)) {
      expect(arrival.abandoned() || arrival.answered).toBe(true);
    }
  });
});

test("a caller that goes away is told of at the first application at once", async () => {
  const before = chain.at("a").length;
  const controller = new AbortController();
  const call = chain.call("/never", { signal: controller.signal }).catch(() => "gone");
  await eventually(() => expect(chain.at("a").length).toBe(before + 1));
  controller.abort();
  expect(await call).toBe("gone");
  await eventually(() => expect(chain.at("a").at(-1)?.abandoned()).toBe(true));
});
