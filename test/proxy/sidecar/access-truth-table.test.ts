/**
 * The truth table of access: callers × methods × paths × ports × headers × tokens, asked of real sidecars, of the function
 * that decides in them, of `heddle explain` and `heddle can`, and of the rules as a person would read them. All give the same
 * answers.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { ServiceSnapshot } from "../../../src/projections/snapshot.ts";
import { compileAccess } from "../../../src/proxy/filters/access.ts";
import type { AccessPeer } from "../../../src/proxy/filters/access-input.ts";
import { CallJudge } from "../../../src/replay/call.ts";
import { askedCall } from "../../support/asked-call.ts";
import { eventually, type TestSidecar } from "../../support/mesh.ts";
import { TwoHops } from "../../support/two-hops.ts";

const CALLERS = ["shop/web", "bank/ledger", "none"] as const;
const METHODS = ["GET", "POST", "DELETE"] as const;
const PATHS = ["/items", "/users/7/orders", "/files/a.json", "/admin/keys", "/admin;v=1/keys"] as const;
const PORTS = [8080, 8081] as const;
const ENVIRONMENTS = [undefined, "test"] as const;
const TOKENS = [undefined, "user", "admin"] as const;

interface Row {
  readonly caller: (typeof CALLERS)[number];
  readonly method: (typeof METHODS)[number];
  readonly path: (typeof PATHS)[number];
  readonly port: (typeof PORTS)[number];
  readonly environment: (typeof ENVIRONMENTS)[number];
  readonly token: (typeof TOKENS)[number];
}

const ROWS: readonly Row[] = CALLERS.flatMap((caller) =>
  METHODS.flatMap((method) =>
    PATHS.flatMap((path) =>
      PORTS.flatMap((port) =>
        ENVIRONMENTS.flatMap((environment) =>
          TOKENS.map((token) => ({ caller, method, path, port, environment, token })),
        ),
      ),
    ),
  ),
);

const RULES = `
    - allow: { from: [shop/web], notMethods: [DELETE] }
    - allow: { from: [bank/*], methods: [GET], paths: ["/users/{id}/orders", "/files/*.json"] }
    - allow: { from: [none], methods: [GET], paths: [/items], ports: [8080], ipBlocks: [127.0.0.0/8] }
    - allow: { from: ["*"], when: [{ claim: groups, values: [admin] }], notHeaders: { x-env: { present: true } } }
    - deny: { paths: [/admin*], when: [{ claim: groups, notValues: [admin] }] }
    - deny: { methods: [POST], headers: { x-env: { exact: test } }, notPorts: [8081] }
    - audit: { methods: [DELETE] }
`;

/** The rules above, read by a person. */
function expected({ caller, method, path, port, environment, token }: Row): boolean {
  const denied =
    (path.startsWith("/admin") && token !== "admin") || (method === "POST" && environment === "test" && port === 8080);
  if (denied) return false;
  if (caller === "shop/web" && method !== "DELETE") return true;
  if (caller === "bank/ledger" && method === "GET" && (path.startsWith("/users/") || path.startsWith("/files/")))
    return true;
  if (caller === "none" && method === "GET" && path === "/items" && port === 8080) return true;
  return caller !== "none" && token === "admin" && environment === undefined;
}

const POLICY = (jwk: object): string => `
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: bank, name: ledger }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec:
  ports: [{ port: 8080, protocol: http }, { port: 8081, protocol: http }]
  mtls: permissive
  jwt: { providers: [{ issuer: table, audiences: [shop], jwks: { keys: [${JSON.stringify(jwk)}] } }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules:${RULES}`;

let hops: TwoHops;
let ledger: TestSidecar;
let tokens: Readonly<Record<"user" | "admin", string>>;
beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const sign = (group: string): Promise<string> =>
    new SignJWT({ groups: [group] })
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setIssuer("table")
      .setAudience("shop")
      .setExpirationTime("1h")
      .sign(privateKey);
  tokens = { user: await sign("user"), admin: await sign("admin") };
  hops = await TwoHops.start();
  await hops.mesh.apply(POLICY({ ...(await exportJWK(publicKey)), kid: "k" }));
  ledger = await hops.mesh.startSidecar({ service: "bank/ledger", appPort: 1 });
  await hops.mesh.converged();
  const first: Row = {
    caller: "none",
    method: "GET",
    path: "/items",
    port: 8080,
    environment: undefined,
    token: "admin",
  };
  await eventually(async () => expect(await allowedBySidecars(first)).toBe(true));
  await eventually(async () => expect(await allowedBySidecars({ ...first, caller: "bank/ledger" })).toBe(true));
});
afterAll(() => hops.stop());

function originOf(caller: Row["caller"]): string {
  if (caller === "none") return `http://127.0.0.1:${hops.catalog.sidecar.inboundAddress.port}`;
  return caller === "shop/web" ? hops.web.outbound : ledger.outbound;
}

function headersOf({ environment, token }: Row): Record<string, string> {
  return {
    ...(environment === undefined ? {} : { "x-env": environment }),
    ...(token === undefined ? {} : { authorization: `Bearer ${tokens[token]}` }),
  };
}

/** What is not refused by policy gets an answer of the application, or of the sidecar that has none at that port. */
async function allowedBySidecars(row: Row): Promise<boolean> {
  const response = await fetch(`${originOf(row.caller)}${row.path}`, {
    method: row.method,
    headers: { host: `catalog.shop:${row.port}`, ...headersOf(row) },
  });
  const body = await response.text();
  if (response.status === 403) {
    expect(body).toMatch(/^Denied: .+\nWhy: .+\n(?:To allow it|What to do): .+\n$/);
    return false;
  }
  expect([200, 503]).toContain(response.status);
  return true;
}

/** What `heddle explain` and `heddle can` make of the arguments that describe the row. */
function explained(judge: CallJudge, row: Row): boolean {
  const headers = Object.entries(headersOf({ ...row, token: undefined }));
  const call = askedCall(
    ...[row.caller, "shop/catalog", row.method, row.path, "--ip", "127.0.0.1", "--port", String(row.port)],
    ...headers.flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ...(row.token === undefined ? [] : ["--claim", `groups=${row.token}`]),
  );
  const { allowed, obstacle } = judge.judge(call);
  if (!allowed) expect(obstacle).toBe("denied");
  return allowed;
}

test(`${ROWS.length} rows: sidecars, the function that decides, explain, and a reader agree`, async () => {
  const dump = (await (await fetch(`${hops.catalog.admin}/config_dump`)).json()) as { snapshot: ServiceSnapshot };
  const access = compileAccess(dump.snapshot.inbound);
  const peers = new Map<string, AccessPeer>(
    CALLERS.map((ref) => {
      const [namespace = "", service = ""] = ref.split("/");
      return [ref, { caller: ref === "none" ? undefined : { namespace, service }, ip: "127.0.0.1" }];
    }),
  );
  const pure = (row: Row): { allowed: boolean; audited: boolean } => {
    const peer = peers.get(row.caller);
    if (peer === undefined) throw new Error("no such caller");
    const { allowed, audit } = access(peer, {
      method: row.method,
      target: row.path,
      authority: "catalog.shop",
      headers: Object.entries(headersOf(row)).flat(),
      port: row.port,
      claims: row.token === undefined ? undefined : { groups: [row.token] },
    });
    return { allowed, audited: audit.length > 0 };
  };
  const judge = new CallJudge(hops.mesh.ledger.state);
  const wrong: unknown[] = [];
  for (const row of ROWS) {
    const { allowed, audited } = pure(row);
    const answers = [expected(row), allowed, explained(judge, row), await allowedBySidecars(row)];
    if (new Set(answers).size > 1 || audited !== (row.method === "DELETE")) wrong.push({ ...row, answers, audited });
  }
  expect(wrong).toEqual([]);
  // A table in which everything is the same would prove nothing.
  expect(ROWS.filter(expected).length).toBeGreaterThan(ROWS.length / 5);
}, 120_000);
