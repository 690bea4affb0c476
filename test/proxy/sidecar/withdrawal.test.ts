/** What was let in and would not be any more: tunnels are cut, requests have their grace. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, createServer, type Server } from "node:net";
import { eventually, type TestSidecar } from "../../support/mesh.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";
import { TwoHops } from "../../support/two-hops.ts";

/** Leaves the service reachable for its caller, so that only the called side can tell. */
const ELSEWHERE = `
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: catalog }
spec: { service: catalog, rules: [{ allow: { from: [shop/web], paths: [/elsewhere] } }] }
`;

const GRACE_MS = 3_000;

let hops: TwoHops;
let database: Server;
let client: TestSidecar;
beforeAll(async () => {
  hops = await TwoHops.start({
    policy: `---\n${serviceDocument("db", "tcp")}${openToWeb("catalog")}${openToWeb("db")}`,
    limits: { withdrawalGraceMs: GRACE_MS },
  });
  database = createServer((socket) => void socket.on("error", () => {}).write("hello"));
  await new Promise<void>((resolve) => database.listen(0, "127.0.0.1", resolve));
  const address = database.address();
  await hops.mesh.startSidecar({ service: "shop/db", appPort: typeof address === "object" ? (address?.port ?? 0) : 0 });
  const bound = { namespace: "shop", name: "db", address: { host: "127.0.0.1", port: 0 } };
  client = await hops.mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams: [bound] });
  await hops.mesh.converged();
});
afterAll(async () => {
  await hops.stop();
  database.close();
});

/** As it was in the beginning. */
async function allow(): Promise<void> {
  await hops.mesh.apply(openToWeb("catalog"));
  await eventually(async () => expect((await hops.call("/")).status).toBe(200));
}

test("a TCP connection is cut when the rule that let it in is revoked", async () => {
  const socket = connect({ host: "127.0.0.1", port: client.sidecar.upstreamAddresses[0]?.port ?? 0 });
  const ended = new Promise<void>((resolve) => socket.on("close", () => resolve()).on("error", () => {}));
  await new Promise((resolve) => socket.once("data", resolve));
  await hops.mesh.command("shop", { kind: "delete", keys: ["AccessPolicy/shop/db"] });
  await ended;
});

test("a WebSocket is cut by the called side, which says by which revision", async () => {
  const socket = await hops.connect();
  socket.send(
    "GET /socket HTTP/1.1\r\nhost: catalog\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" +
      "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await socket.until("\r\n\r\n");
  const revision = await hops.mesh.apply(ELSEWHERE);
  await socket.untilEnded();
  const line = await hops.line("/socket", hops.catalog);
  expect([line.response_code, line.response_flags]).toEqual([101, "RBAC"]);
  expect(line.response_code_details).toBe(`rbac_access_denied_matched_policy[none]@${revision}`);
  await allow();
});

test("a request under way ends in its own time; one that outlasts the grace is cut", async () => {
  const short = hops.call("/slow?ms=500");
  const endless = hops.call("/never");
  const streaming = await hops.call("/drip?pieces=100000");
  await eventually(async () => expect((await hops.app.seen()).seen).toContain("GET /never"));
  await hops.mesh.apply(ELSEWHERE);
  // New ones are refused at once.
  await eventually(async () => expect((await hops.call("/")).status).toBe(403));
  expect((await short).status).toBe(200);
  expect((await endless).status).toBe(403);
  await expect(streaming.text()).rejects.toThrow();
  await allow();
});

test("what is allowed again before its grace is over goes on", async () => {
  const slow = hops.call(`/slow?ms=${2 * GRACE_MS}`);
  await eventually(async () => expect((await hops.app.seen()).seen).toContain(`GET /slow?ms=${2 * GRACE_MS}`));
  await hops.mesh.apply(ELSEWHERE);
  await eventually(async () => expect((await hops.call("/")).status).toBe(403));
  await hops.mesh.apply(openToWeb("catalog"));
  expect((await slow).status).toBe(200);
});
