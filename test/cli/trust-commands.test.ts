/** `heddle identity` and `heddle ca` as people and scripts call them, against a mesh that runs. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { toJwkSet } from "../../src/ca/spiffe-bundle.ts";
import { forgeAuthority } from "../ca/forge.ts";
import { CliMesh } from "./cli-mesh.ts";

const WEB = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
`;

let mesh: CliMesh;
beforeAll(async () => {
  mesh = await CliMesh.start();
  await mesh.done("apply", "-f", await mesh.file("web.yaml", WEB), "--yes");
  // It takes up nothing any more, so that no change of roots gets by it while it is looked at.
  await mesh.heartbeat({
    instance: "w1",
    namespace: "shop",
    service: "web",
    state: "ready",
    host: "127.0.0.1",
    port: 1,
    labels: {},
    revision: 0,
    certificateSerial: "4a0b",
    certificateExpiry: new Date(Date.now() + 3_600_000).toISOString(),
    startedAt: new Date().toISOString(),
    version: "test",
  });
}, 60_000);
afterAll(() => mesh.stop());

test("an identity is revoked, listed as that, and reinstated", async () => {
  expect(await mesh.done("identity", "revoke", "shop/web", "--instance", "w1", "--reason", "stolen")).toContain(
    "revoked the identity of shop/web, instance w1, certificate 4a0b",
  );
  await mesh.done("identity", "revoke", "web", "-n", "shop");
  expect(await mesh.done("identity", "list")).toMatch(/sa\/web +w1 +4a0b .*revoked by ada at revision \d+/);
  const [listed] = (await mesh.json(["identity", "list", "-n", "shop"])) as {
    revocation: { whole: { actor: string } };
  }[];
  expect(listed?.revocation.whole.actor).toBe("ada");
  expect(await mesh.done("identity", "reinstate", "shop/web")).toContain("reinstated the identity of shop/web");
  const unknown = await mesh.heddle(["identity", "revoke", "shop/web", "--instance", "nobody"]);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("there are: w1")]);
  const both = await mesh.heddle(["identity", "revoke", "shop/web", "--instance", "w1", "--serial", "4a0b"]);
  expect(both.code).toBe(2);
}, 60_000);

test("the roots are shown, printed for others, and changed; what is no change is said", async () => {
  expect(await mesh.done("ca", "status")).toMatch(/^ROOT .*\n[0-9a-f]{12} +signs/);
  expect(await mesh.done("ca", "bundle")).toStartWith("-----BEGIN CERTIFICATE-----");
  const jwks = JSON.parse(await mesh.done("ca", "bundle", "-o", "jwks")) as { keys: { use: string }[] };
  expect(jwks.keys.map(({ use }) => use)).toEqual(["x509-svid"]);
  const none = await mesh.heddle(["ca", "abort"]);
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("no change of roots is under way")]);
  expect(await mesh.done("ca", "rotate", "--dry-run")).toContain("began to replace root");
  await mesh.done("ca", "rotate");
  expect(await mesh.done("ca", "pause")).toContain("paused the change of roots");
  expect(await mesh.done("ca", "status")).toContain("begun by ada: paused");
  const { rotation } = (await mesh.json(["ca", "status"])) as { rotation: { paused: boolean } };
  expect(rotation.paused).toBe(true);
  expect(await mesh.done("ca", "abort")).toContain("called off the change of roots");
}, 60_000);

test("another trust domain is trusted by its bundle, and no longer", async () => {
  const { root } = await forgeAuthority("other");
  const bundle = await mesh.file("other.pem", root.pem);
  expect(await mesh.done("ca", "federate", "other.local", "--bundle", bundle)).toContain(
    "trusts workloads of other.local, by 1 root",
  );
  expect(await mesh.done("ca", "status")).toContain("trusts workloads of other.local by 1 of its roots");
  expect(await mesh.done("ca", "unfederate", "spiffe://other.local")).toContain(
    "no longer trusts workloads of other.local",
  );
  const wrong = await mesh.heddle(["ca", "federate", "other.local", "--bundle", await mesh.file("x.json", "{}")]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("neither PEM nor a JWK set")]);
}, 60_000);

test("a bundle is fetched where its owner publishes it: written when it has changed, and never from elsewhere", async () => {
  const [first, second] = [(await forgeAuthority("first")).root.pem, (await forgeAuthority("second")).root.pem];
  let answer = () => Response.json(toJwkSet([first], 1));
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => answer() });
  const url = `http://127.0.0.1:${server.port}/bundle.json`;
  const federate = (bundle = url) => mesh.heddle(["ca", "federate", "published.local", "--bundle", bundle]);
  expect((await federate()).stdout).toContain("trusts workloads of published.local, by 1 root");
  expect((await federate()).stdout).toContain("nothing to change");
  answer = () => Response.json(toJwkSet([first, second], 2));
  expect((await federate()).stdout).toContain("published.local, by 2 roots");
  for (const [bad, why] of [
    [() => Response.json(toJwkSet([first], 1)), "is older (1) than the one in force (2)"],
    [() => new Response("", { status: 503 }), "answered with 503"],
    [() => Response.redirect("/elsewhere"), "cannot be fetched"],
    [() => new Response("x".repeat(600_000)), "larger than"],
  ] as const) {
    answer = bad;
    expect(await federate()).toMatchObject({ code: 1, stderr: expect.stringContaining(why) });
  }
  await server.stop(true);
  expect(await federate("http://192.0.2.1/bundle.json")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("give an https URL"),
  });
}, 60_000);

test("a request for an external root stays the same until it is answered, and what is no answer changes nothing", async () => {
  const request = await mesh.done("ca", "csr");
  expect(request).toStartWith("-----BEGIN CERTIFICATE REQUEST-----");
  expect(await mesh.done("ca", "csr")).toBe(request);
  const { root, issuer } = await forgeAuthority("stranger");
  const [certificate, above] = [await mesh.file("i.pem", issuer.pem), await mesh.file("r.pem", root.pem)];
  const refused = await mesh.heddle(["ca", "install", certificate, "--root", above]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("nothing was changed")]);
  expect(refused.stderr).toMatch(/not for the key of the pending request|ends within a day/);
}, 60_000);
