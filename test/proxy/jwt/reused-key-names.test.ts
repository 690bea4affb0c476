/** An issuer that gives its next key the name of the last, as one does that is set up anew: a real server, real tokens. */

import { afterAll, expect, test } from "bun:test";
import { createServer } from "node:http";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { JwksCache } from "../../../src/proxy/jwt/jwks-cache.ts";
import { TokenVerifier } from "../../../src/proxy/jwt/token-verifier.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { CellFamily } from "../../../src/telemetry/metric-family.ts";

const REFETCH_MS = 10_000;
const ISSUER = "https://id.example.org";

let published: JWK;
let fetches = 0;
const server = createServer((_, response) => {
  fetches++;
  response.end(JSON.stringify({ keys: [published] }));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = server.address();
const jwksUri = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/keys`;

let nowMs = 0;
const runtime = { ...systemRuntime({ jwksRefetchMs: REFETCH_MS }), monotonicMs: () => nowMs };
const cache = new JwksCache({
  runtime,
  fetched: new CellFamily("counter", "f", "", ["uri", "result"]),
  onFailed: () => {},
});
const provider = {
  ...{ issuer: ISSUER, audiences: ["till"], jwksUri, algorithms: ["ES256"] as const, clockSkewMs: 0 },
  ...{ forward: false, claimHeaders: {} },
};
const settings = { required: true, providers: [{ ...provider, algorithms: [...provider.algorithms] }] };
const verifier = new TokenVerifier(settings, cache, Date.now);

afterAll(() => {
  cache.close();
  server.closeAllConnections();
  server.close();
});

/** A key of the one name that all of them have; signs tokens for different people. */
async function newKey(): Promise<{ jwk: JWK; sign: (subject: string) => Promise<string> }> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "main", use: "sig" };
  const sign = (subject: string): Promise<string> =>
    new SignJWT({})
      .setProtectedHeader({ alg: "ES256", kid: "main" })
      .setSubject(subject)
      .setIssuer(ISSUER)
      .setAudience("till")
      .setExpirationTime("1h")
      .sign(privateKey);
  return { jwk, sign };
}

test("its tokens are good at once, those of the key before no longer, and forged ones do not flood it", async () => {
  const [first, second, forger] = await Promise.all([newKey(), newKey(), newKey()]);
  published = first.jwk;
  cache.follow([jwksUri]);
  expect((await verifier.verify(await first.sign("a"))).ok).toBe(true);
  expect(fetches).toBe(1);

  published = second.jwk;
  nowMs += REFETCH_MS;
  expect((await verifier.verify(await second.sign("b"))).ok).toBe(true);
  expect(fetches).toBe(2);
  expect(await verifier.verify(await first.sign("c"))).toEqual({ ok: false, error: "bad_signature" });

  nowMs += REFETCH_MS;
  const forged = await Promise.all(Array.from({ length: 50 }, (_, index) => forger.sign(`f${index}`)));
  const verdicts = await Promise.all(forged.map((token) => verifier.verify(token)));
  expect(verdicts.every((verdict) => !verdict.ok && verdict.error === "bad_signature")).toBe(true);
  expect(fetches).toBe(3);
  expect((await verifier.verify(await second.sign("d"))).ok).toBe(true);
});
