/** Where keys of tokens come from, and all that an endpoint can do wrong: real servers, real time. */

import { afterAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { JwksCache } from "../../../src/proxy/jwt/jwks-cache.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { CellFamily } from "../../../src/telemetry/metric-family.ts";
import { eventually } from "../../support/mesh.ts";

const runtime = systemRuntime({ jwksRefetchMs: 0 });
const key: JWK = { ...(await exportJWK((await generateKeyPair("ES256", { extractable: true })).publicKey)), kid: "k1" };
const good = JSON.stringify({ keys: [key] });

let body = "";
let status = 200;
const server = await listen((path, respond) => {
  if (path === "/redirect") respond(302, "", { location: "/keys" });
  else if (path !== "/silent") respond(status, path === "/keys" ? good : body);
});

function listen(answer: (path: string, respond: Respond) => void): Promise<Server> {
  const made = createServer((request, response) =>
    answer(request.url ?? "", (code, text, headers = {}) => response.writeHead(code, headers).end(text)),
  );
  return new Promise((resolve) => made.listen(0, "127.0.0.1", () => resolve(made)));
}
type Respond = (status: number, text: string, headers?: Record<string, string>) => void;

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

function at(path: string): string {
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}${path}`;
}

/** What is said of an address, and whether keys could be had there. */
async function lookedAt(uri: string): Promise<{ reasons: string[]; found: boolean }> {
  const reasons: string[] = [];
  const fetched = new CellFamily("counter", "fetched", "", ["uri", "result"]);
  const cache = new JwksCache({ runtime, fetched, onFailed: (_, reason) => reasons.push(reason) });
  cache.follow([uri]);
  const found = (await cache.keysAt(uri)) !== undefined;
  cache.close();
  return { reasons, found };
}

test.each<[string, { path?: string; body?: string; status?: number }, RegExp]>([
  ["that leads elsewhere, even to good keys", { path: "/redirect" }, /redirect/i],
  ["of 10 MB", { body: `{"keys":[],"pad":"${"x".repeat(10 * 1024 * 1024)}"}` }, /more than 262144 bytes/],
  ["with an error", { body: good, status: 503 }, /answered with 503/],
  ["that is no JSON", { body: "<html>" }, /JSON/],
  ["that is no key set", { body: "[]" }, /expected object/i],
  ["without keys", { body: '{"keys":[]}' }, /no key that verifies/],
  ["with too many keys", { body: JSON.stringify({ keys: Array(101).fill(key) }) }, /100/],
  ["with secrets only", { body: '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}' }, /no key that verifies/],
  ["with keys to encrypt with", { body: JSON.stringify({ keys: [{ ...key, use: "enc" }] }) }, /no key that verifies/],
])("an answer %s is refused, and said", async (_, answer, reason) => {
  body = answer.body ?? "";
  status = answer.status ?? 200;
  const { reasons, found } = await lookedAt(at(answer.path ?? "/bad"));
  status = 200;
  expect(found).toBe(false);
  expect(reasons).toHaveLength(1);
  expect(reasons[0]).toMatch(reason);
  expect(reasons[0]?.length).toBeLessThan(1_000);
});

test("one that never answers is given up, and whoever waits is told", async () => {
  const { reasons, found } = await lookedAt(at("/silent"));
  expect(found).toBe(false);
  expect(reasons[0]).toMatch(/time/i);
}, 30_000);

test("one that is away at the start is asked again by itself, and found when it is there", async () => {
  const reasons: string[] = [];
  const fetched = new CellFamily("counter", "fetched", "", ["uri", "result"]);
  const cache = new JwksCache({ runtime, fetched, onFailed: (_, reason) => reasons.push(reason) });
  body = "not yet";
  const uri = at("/bad");
  cache.follow([uri]);
  expect(await cache.keysAt(uri)).toBeUndefined();
  body = good;
  await eventually(async () => expect(await cache.keysAt(uri)).toBeDefined(), 30_000);
  cache.close();
  expect(reasons.length).toBeGreaterThan(0);
});
