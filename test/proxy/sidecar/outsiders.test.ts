/**
 * Callers without a sidecar of the mesh, and what rules ask of connections: who is asked about on a command line gets the
 * answer that the sidecar of the called service gives over the wire, by certificate, address, server name, port and protocol.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { CallJudge, type Obstacle } from "../../../src/replay/call.ts";
import { callersWithAccess } from "../../../src/replay/who-can.ts";
import { type Forged, forge, forgeAuthority } from "../../ca/forge.ts";
import { askedCall } from "../../support/asked-call.ts";
import { type EchoServer, startEchoServer } from "../../support/echo-server.ts";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { type NodeApp, startNodeApp } from "../../support/node-app.ts";

const POLICY = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: till }
spec: { ports: [{ port: 8080, protocol: http }, { port: 8081, protocol: http, mtls: permissive }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: till }
spec:
  service: till
  rules:
    - allow: { from: [none], ipBlocks: [127.0.0.2], methods: [GET] }
    - allow: { from: ["spiffe://partner.example/ns/crm/*"], sni: [pay.example.org, till.shop.mesh.local] }
    - allow: { from: ["spiffe://partner.example/*"], ports: [8081], notIpBlocks: [127.0.0.2] }
    - allow: { from: [shop/web], sni: ["*.shop.mesh.local"], ports: [8081] }
    - deny: { from: ["spiffe://partner.example/ns/crm/*"], methods: [POST], notSni: [pay.example.org] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: db }
spec: { ports: [{ port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: db }
spec: { service: db, rules: [{ allow: { from: [shop/web], ipBlocks: [127.0.0.1] } }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: vault }
spec: { ports: [{ port: 5432, protocol: tcp }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: vault }
spec: { service: vault, rules: [{ allow: { from: [shop/web], ipBlocks: [127.0.0.2] } }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: open }
spec: { mtls: disabled, ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: open }
spec: { service: open, rules: [{ allow: { from: [shop/web], methods: [GET] } }, { allow: { from: [none], methods: [POST] } }] }
`;

const [CRM, ERP, STRANGER] = [
  "spiffe://partner.example/ns/crm/sa/sync",
  "spiffe://partner.example/ns/erp/sa/sync",
  "spiffe://stranger.example/ns/crm/sa/sync",
];
const ADDRESSES = ["127.0.0.1", "127.0.0.2"] as const;
const NAMES = [undefined, "pay.example.org", "other.example.org"] as const;

let mesh: TestMesh;
let app: NodeApp;
let tcp: EchoServer;
let web: TestSidecar;
let till: TestSidecar;
let open: TestSidecar;
const leaves = new Map<string, { readonly leaf: Forged; readonly issuer: Forged }>();

beforeAll(async () => {
  [mesh, app] = await Promise.all([TestMesh.start(), startNodeApp("v1")]);
  tcp = await startEchoServer();
  await mesh.apply(POLICY);
  const [partner, stranger] = [await forgeAuthority("partner"), await forgeAuthority("stranger")];
  for (const [uri, { issuer }] of [
    [CRM, partner],
    [ERP, partner],
    [STRANGER, stranger],
  ] as const) {
    leaves.set(uri, { leaf: await forge({ uris: [uri], by: issuer }), issuer });
  }
  await mesh.command("_mesh", { kind: "federate", trustDomain: "partner.example", roots: [partner.root.pem] });
  till = await mesh.startSidecar({ service: "shop/till", appPort: app.port });
  open = await mesh.startSidecar({ service: "shop/open", appPort: app.port });
  for (const service of ["shop/db", "shop/vault"]) await mesh.startSidecar({ service, appPort: tcp.port });
  const upstreams = ["db", "vault"].map((name) => ({
    namespace: "shop",
    name,
    address: { host: "127.0.0.1", port: 0 },
  }));
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams });
  await mesh.converged();
  await eventually(async () => expect(await throughWeb("till", "GET", 8081)).toBe(200));
  await eventually(async () => expect(await throughWeb("open", "POST", 8080)).toBe(200));
  await eventually(async () => expect(await echoed(0)).toBe(true));
});

afterAll(async () => {
  await mesh.stop();
  await app.kill();
  tcp.close();
});

/** The status of a request that an outsider sends to an inbound port itself; 0: the connection ended before. */
function asked(
  to: TestSidecar,
  who: string,
  ip: string,
  name: string | undefined,
  method: string,
  host: string,
): Promise<number> {
  return new Promise((resolve) => {
    const plain = connectTcp({ host: "127.0.0.1", port: to.sidecar.inboundAddress.port, localAddress: ip });
    const identity = leaves.get(who);
    const socket: Socket =
      identity === undefined
        ? plain
        : connectTls({
            socket: plain,
            rejectUnauthorized: false,
            cert: identity.leaf.pem + identity.issuer.pem,
            key: identity.leaf.keyPem,
            ALPNProtocols: ["http/1.1"],
            ...(name === undefined ? {} : { servername: name }),
          });
    plain.on("error", () => {});
    socket.on("error", () => {});
    socket.once("data", (chunk: Buffer) => {
      resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString("latin1"))?.[1] ?? 0));
      plain.destroy();
    });
    for (const one of [plain, socket]) one.once("close", () => resolve(0));
    socket.write(`${method} / HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 0\r\n\r\n`);
  });
}

async function throughWeb(service: string, method: string, port: number): Promise<number> {
  const response = await fetch(`${web.outbound}/`, { method, headers: { host: `${service}.shop:${port}` } });
  await response.text();
  return response.status;
}

/** Whether web's connection to its n-th upstream gets its word back. */
function echoed(index: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(web.sidecar.upstreamAddresses[index]?.port ?? 0, "127.0.0.1");
    socket.once("data", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => {}).once("close", () => resolve(false));
    socket.write("word");
  });
}

function judged(...words: readonly string[]): { readonly allowed: boolean; readonly obstacle: Obstacle | undefined } {
  const { allowed, obstacle } = new CallJudge(mesh.ledger.state).judge(askedCall(...words));
  return { allowed, obstacle };
}

/** What an answer of the sidecar says of a judgement: 200 is allowed, 403 denied, and no answer a refused handshake. */
function agrees(status: number, { allowed, obstacle }: ReturnType<typeof judged>): boolean {
  if (status === 200) return allowed;
  if (status === 403) return obstacle === "denied" || obstacle === "plaintext";
  return status === 0 && (obstacle === "foreign" || obstacle === "no_tls");
}

interface Row {
  readonly who: string;
  readonly ip: string;
  readonly name: string | undefined;
  readonly method: string;
  readonly port: number;
}

const ROWS: readonly Row[] = ["none", CRM, ERP, STRANGER].flatMap((who) =>
  ADDRESSES.flatMap((ip) =>
    (who === "none" ? [undefined] : NAMES).flatMap((name) =>
      ["GET", "POST"].flatMap((method) => [8080, 8081].map((port): Row => ({ who, ip, name, method, port }))),
    ),
  ),
);

/** The rules, read by a person. */
function expected({ who, ip, name, method, port }: Row): boolean {
  if (who === "none") return port === 8081 && ip === "127.0.0.2" && method === "GET";
  if (who === CRM && method === "POST" && name !== "pay.example.org") return false;
  if (who === CRM && name === "pay.example.org") return true;
  return who !== STRANGER && port === 8081 && ip !== "127.0.0.2";
}

test(`${ROWS.length} rows of callers from outside: the sidecar, the command line, and a reader agree`, async () => {
  const wrong: unknown[] = [];
  for (const row of ROWS) {
    const { who, ip, name, method, port } = row;
    const status = await asked(till, who, ip, name, method, `till.shop:${port}`);
    const sni = name === undefined ? [] : ["--sni", name];
    const judgement = judged(who, "shop/till", method, "/", "--ip", ip, "--port", String(port), ...sni);
    if (!agrees(status, judgement) || judgement.allowed !== expected(row)) wrong.push({ row, status, judgement });
  }
  expect(wrong).toEqual([]);
  expect(ROWS.filter(expected).length).toBeGreaterThan(ROWS.length / 5);
}, 60_000);

test("the server name that sidecars ask for is known without being said", async () => {
  for (const port of [8080, 8081]) {
    const judgement = judged("shop/web", "shop/till", "GET", "/", "--port", String(port));
    expect([port, judgement.allowed]).toEqual([port, port === 8081]);
    expect(agrees(await throughWeb("till", "GET", port), judgement)).toBe(true);
  }
});

test("without TLS, a service of ours is nobody to the called one", async () => {
  for (const method of ["GET", "POST"]) {
    const judgement = judged("shop/web", "shop/open", method, "/");
    expect([method, judgement.allowed]).toEqual([method, method === "POST"]);
    expect(agrees(await throughWeb("open", method, 8080), judgement)).toBe(true);
    expect(
      agrees(
        await asked(open, "none", "127.0.0.1", undefined, method, "open.shop"),
        judged("none", "shop/open", method, "/"),
      ),
    ).toBe(true);
  }
  expect(judged(CRM, "shop/open", "POST", "/")).toEqual({ allowed: false, obstacle: "no_tls" });
  expect(await asked(open, CRM, "127.0.0.1", undefined, "POST", "open.shop")).not.toBe(200);
});

test("connections of TCP ports, and what is neither", async () => {
  const ip = ["--ip", "127.0.0.1"];
  expect(judged("shop/web", "shop/db", ...ip).allowed).toBe(true);
  expect(await echoed(0)).toBe(true);
  expect(judged("shop/web", "shop/vault", ...ip)).toEqual({ allowed: false, obstacle: "denied" });
  expect(await echoed(1)).toBe(false);
  expect(judged("shop/web", "shop/db", "GET", "/", ...ip).obstacle).toBe("protocol");
  expect(await throughWeb("db", "GET", 5432)).toBe(502);
  expect(judged("shop/web", "shop/till").obstacle).toBe("protocol");
});

test("a workload of our own trust domain is asked about by either of its names", () => {
  const own = "spiffe://mesh.local/ns/shop/sa/web";
  expect(judged(own, "shop/till", "GET", "/", "--port", "8081").allowed).toBe(true);
  expect(judged("spiffe://mesh.local/ns/shop/sa/nobody", "shop/till", "GET", "/").obstacle).toBe("undeclared_source");
});

test("claims within claims, lists, and what is no call", () => {
  const claims = (...words: string[]): unknown =>
    askedCall("none", "shop/till", "GET", "/", ...words.flatMap((word) => ["--claim", word])).facts?.claims;
  expect(claims("groups=a", "groups=b")).toEqual({ groups: ["a", "b"] });
  expect(claims('realm={"roles":["admin"]}', "level=3")).toEqual({ realm: { roles: ["admin"] }, level: "3" });
  expect(() => claims("realm={roles")).toThrow("must be JSON");
  expect(() => askedCall("spiffe://partner.example/crm", "shop/till", "GET", "/")).toThrow("is nobody's identity");
  expect(() => askedCall("none", "shop/till", "GET", "/", "--ip", "10.0.0.0/8")).toThrow("is no address");
});

test("who may call tells of those outside too", () => {
  const judge = new CallJudge(mesh.ledger.state);
  const callers = (name: string, words: readonly string[] = []): string[] => {
    const only = words.length === 0 ? undefined : askedCall("none", `shop/${name}`, ...words);
    return callersWithAccess(judge, { namespace: "shop", name }, only).map(({ caller }) => caller);
  };
  expect(callers("till")).toEqual([
    "shop/web",
    "none",
    "spiffe://partner.example/ns/crm/*",
    "spiffe://partner.example/*",
  ]);
  expect(callers("till", ["POST", "/", "--port", "8081"])).toEqual(["shop/web", "spiffe://partner.example/*"]);
  expect(callers("till", ["GET", "/", "--port", "8081", "--ip", "127.0.0.2"])).toEqual(["shop/web", "none"]);
  expect(callers("db")).toEqual(["shop/web"]);
});
