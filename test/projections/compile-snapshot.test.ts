import { describe, expect, test } from "bun:test";
import type { MeshState } from "../../src/events/state.ts";
import {
  closedSnapshot,
  compileSnapshot,
  encodeSnapshot,
  snapshotDigest,
} from "../../src/projections/compile-snapshot.ts";
import { type ServiceSnapshot, serviceSnapshot } from "../../src/projections/snapshot.ts";
import { TestLedger } from "../support/ledger.ts";

const SHOP = new URL("../../examples/shop/policy.yaml", import.meta.url);

const PREAMBLE = "apiVersion: heddle/v1\n";

function service(ref: string, rest = ""): string {
  const [namespace, name] = ref.split("/");
  return `${PREAMBLE}kind: Service
metadata: { namespace: ${namespace}, name: ${name} }
spec: { ports: [{ port: 80, protocol: http }]${rest} }`;
}

function access(document: string, target: string, ...rules: string[]): string {
  const [namespace, name] = document.split("/");
  return `${PREAMBLE}kind: AccessPolicy
metadata: { namespace: ${namespace}, name: ${name} }
spec: { service: ${target}, rules: [${rules.join(", ")}] }`;
}

function route(document: string, target: string, ...rules: string[]): string {
  const [namespace, name] = document.split("/");
  return `${PREAMBLE}kind: Route
metadata: { namespace: ${namespace}, name: ${name} }
spec: { service: ${target}, rules: [${rules.join(", ")}] }`;
}

function mesh(spec: string): string {
  return `${PREAMBLE}kind: Mesh\nmetadata: { name: default }\nspec: { ${spec} }`;
}

function stateOf(...documents: string[]): MeshState {
  const ledger = new TestLedger();
  ledger.apply(documents.join("\n---\n"));
  return ledger.state;
}

function compiled(state: MeshState, ref: string): ServiceSnapshot {
  const [namespace = "", name = ""] = ref.split("/");
  const snapshot = compileSnapshot(state, { namespace, name });
  if (snapshot === undefined) throw new Error(`${ref} is not declared`);
  // What is compiled is what a sidecar accepts.
  return serviceSnapshot.parse(JSON.parse(new TextDecoder().decode(encodeSnapshot(snapshot))));
}

describe("the shop's policy compiles to the golden snapshot of", () => {
  for (const name of ["web", "orders", "payment", "catalog"]) {
    test(name, async () => {
      const ledger = new TestLedger();
      ledger.apply(await Bun.file(SHOP).text());
      const golden = new URL(`golden/shop-${name}.json`, import.meta.url);
      const text = `${JSON.stringify(compiled(ledger.state, `shop/${name}`), null, 2)}\n`;
      if (process.env.HEDDLE_UPDATE_GOLDEN === "1") await Bun.write(golden, text);
      expect(text).toBe(await Bun.file(golden).text());
    });
  }
});

test("a service that is not declared has no snapshot", () => {
  expect(compileSnapshot(stateOf(service("shop/web")), { namespace: "shop", name: "orders" })).toBeUndefined();
  expect(compileSnapshot(stateOf(service("shop/web")), { namespace: "bank", name: "web" })).toBeUndefined();
});

test("without a Mesh document the secure defaults hold", () => {
  expect(compiled(stateOf(service("shop/web")), "shop/web")).toEqual({
    version: 1,
    revision: 1,
    namespace: "shop",
    name: "web",
    trustDomain: "mesh.local",
    mtls: "strict",
    trustBundle: [],
    inbound: { ports: [{ port: 80, protocol: "http" }], accessDefault: "deny", access: [], rateLimits: [] },
    upstreams: {},
    unreachable: [],
  });
});

describe("upstreams are the services that some rule lets the caller call:", () => {
  const services = ["shop/web", "shop/orders", "bank/ledger"].map((ref) => service(ref));
  const cases: [string, string[], string[], string[]][] = [
    ["none by default", [], [], ["orders"]],
    ["named", [access("shop/a", "orders", "{ allow: { from: [shop/web] } }")], ["shop/orders"], []],
    ["somebody else named", [access("shop/a", "orders", "{ allow: { from: [bank/ledger] } }")], [], ["orders"]],
    ["its namespace", [access("bank/a", "ledger", "{ allow: { from: [shop/*] } }")], ["bank/ledger"], ["orders"]],
    ["another namespace", [access("shop/a", "orders", "{ allow: { from: [bank/*] } }")], [], ["orders"]],
    ["anyone, said", [access("shop/a", "orders", '{ allow: { from: ["*"] } }')], ["shop/orders"], []],
    ["anyone, unsaid", [access("shop/a", "orders", "{ allow: { methods: [GET] } }")], ["shop/orders"], []],
    ["a deny opens nothing", [access("shop/a", "orders", "{ deny: { from: [shop/web] } }")], [], ["orders"]],
    [
      "a deny closes nothing here: the callee refuses",
      [access("shop/a", "orders", "{ allow: { from: [shop/web] } }", "{ deny: { from: [shop/web] } }")],
      ["shop/orders"],
      [],
    ],
    [
      "any of several policies",
      [
        access("shop/a", "orders", "{ allow: { from: [bank/ledger] } }"),
        access("shop/b", "orders", "{ allow: { from: [shop/web] } }"),
      ],
      ["shop/orders"],
      [],
    ],
    ["itself when allowed", [access("shop/a", "web", "{ allow: { from: [shop/web] } }")], ["shop/web"], ["orders"]],
    [
      "all when the default is to allow",
      [mesh("trustDomain: mesh.local, access: allow")],
      ["bank/ledger", "shop/orders", "shop/web"],
      [],
    ],
  ];
  for (const [name, policies, upstreams, unreachable] of cases) {
    test(name, () => {
      const snapshot = compiled(stateOf(...services, ...policies), "shop/web");
      expect(Object.keys(snapshot.upstreams).sort()).toEqual(upstreams);
      expect(snapshot.unreachable).toEqual(unreachable);
    });
  }
});

test("a policy for a service that is gone opens nothing", () => {
  const ledger = new TestLedger();
  ledger.apply([service("shop/web"), service("shop/orders")].join("\n---\n"));
  ledger.apply(access("shop/a", "orders", "{ allow: { from: [shop/web] } }"));
  ledger.record("shop", [{ type: "ServiceRemoved", namespace: "shop", name: "orders" }]);
  expect(compiled(ledger.state, "shop/web").upstreams).toEqual({});
  expect(compiled(ledger.state, "shop/web").unreachable).toEqual([]);
});

test("inbound rules stand in order of policy name and rule, each with the change that made it", () => {
  const ledger = new TestLedger();
  ledger.apply(service("shop/web"));
  ledger.apply(access("shop/b", "web", "{ allow: { from: [shop/x] } }"), "bob");
  ledger.apply(access("shop/a", "web", "{ allow: { methods: [GET], paths: [/a] } }", "{ deny: {} }"), "carol");
  ledger.apply(access("shop/a-b", "web", "{ allow: {} }"), "dora");
  const origin = (document: string, rule: number, revision: number, actor: string) => {
    return { document, rule, revision, actor };
  };
  expect(compiled(ledger.state, "shop/web").inbound.access).toEqual([
    { action: "allow", methods: ["GET"], paths: ["/a"], origin: origin("shop/a", 0, 3, "carol") },
    { action: "deny", origin: origin("shop/a", 1, 3, "carol") },
    { action: "allow", origin: origin("shop/a-b", 0, 4, "dora") },
    { action: "allow", from: ["shop/x"], origin: origin("shop/b", 0, 2, "bob") },
  ]);
});

describe("what a route leaves out is filled in:", () => {
  const open = access("shop/a", "orders", "{ allow: {} }");
  const rulesOf = (...rules: string[]) => {
    const orders = service("shop/orders", ", subsets: { v1: { version: v1 }, v2: { version: v2 } }");
    const state = stateOf(service("shop/web"), orders, open, route("shop/r", "orders", ...rules));
    return compiled(state, "shop/web").upstreams["shop/orders"]?.routes.map(({ origin, ...rule }) => rule);
  };

  test("matches and backends", () => {
    expect(rulesOf("{ timeout: 1m30s }")).toEqual([{ match: [], backends: [{ weight: 1 }], timeoutMs: 90_000 }]);
  });

  test("weights", () => {
    expect(rulesOf("{ backends: [{ subset: v1 }, { subset: v2 }] }")).toEqual([
      {
        match: [],
        backends: [
          { subset: "v1", weight: 1 },
          { subset: "v2", weight: 1 },
        ],
      },
    ]);
    expect(rulesOf("{ backends: [{ subset: v1, weight: 0 }, { subset: v2, weight: 7 }] }")?.[0]?.backends).toEqual([
      { subset: "v1", weight: 0 },
      { subset: "v2", weight: 7 },
    ]);
  });

  test("retries", () => {
    expect(rulesOf("{ retries: { attempts: 2 } }")?.[0]?.retries).toEqual({
      attempts: 2,
      on: ["connect-failure", "refused-stream", "reset", "gateway-error"],
      budget: { percent: 20, minPerSecond: 3 },
    });
    const all = "{ attempts: 0, perTryTimeout: 250ms, on: [5xx], budget: { percent: 0, minPerSecond: 0 } }";
    expect(rulesOf(`{ retries: ${all} }`)?.[0]?.retries).toEqual({
      attempts: 0,
      perTryTimeoutMs: 250,
      on: ["5xx"],
      budget: { percent: 0, minPerSecond: 0 },
    });
  });

  test("subsets and load balancer of the service", () => {
    const state = stateOf(service("shop/web"), service("shop/orders"), open);
    expect(compiled(state, "shop/web").upstreams["shop/orders"]).toEqual({
      namespace: "shop",
      name: "orders",
      spiffeId: "spiffe://mesh.local/ns/shop/sa/orders",
      ports: [{ port: 80, protocol: "http" }],
      subsets: {},
      loadBalancer: "peak-ewma",
      connectionPool: {},
      routes: [],
    });
  });
});

describe("the trust bundle", () => {
  const added = (fingerprint: string) => ({ type: "RootAdded", fingerprint, pem: `PEM ${fingerprint}` }) as const;
  const bundleOf = (ledger: TestLedger) => compiled(ledger.state, "shop/web").trustBundle;

  test("holds every root that is added or active, by fingerprint, and none that is retired", () => {
    const ledger = new TestLedger();
    ledger.apply(service("shop/web"));
    ledger.record("_mesh", [added("cc"), added("aa"), { type: "RootActivated", fingerprint: "cc" }]);
    expect(bundleOf(ledger)).toEqual(["PEM aa", "PEM cc"]);
    ledger.record("_mesh", [added("bb"), { type: "RootActivated", fingerprint: "aa" }]);
    expect(bundleOf(ledger)).toEqual(["PEM aa", "PEM bb", "PEM cc"]);
    ledger.record("_mesh", [{ type: "RootRetired", fingerprint: "cc" }]);
    expect(bundleOf(ledger)).toEqual(["PEM aa", "PEM bb"]);
  });
});

describe("the digest", () => {
  const policies = [service("shop/web"), service("shop/orders"), access("shop/a", "orders", "{ allow: {} }")];

  test("ignores the revision and nothing else", () => {
    const ledger = new TestLedger();
    ledger.apply(policies.join("\n---\n"));
    const before = compiled(ledger.state, "shop/web");
    ledger.record("shop", [{ type: "RolledBack", namespace: "shop", toRevision: 1 }]);
    const after = compiled(ledger.state, "shop/web");
    expect(after.revision).toBe(before.revision + 1);
    expect(snapshotDigest(after)).toBe(snapshotDigest(before));
    expect(snapshotDigest({ ...after, mtls: "permissive" })).not.toBe(snapshotDigest(before));
  });

  test("does not depend on the order in which the documents came", () => {
    const lines = (documents: string[]) => encodeSnapshot(compiled(stateOf(documents.join("\n---\n")), "shop/web"));
    expect(lines([...policies].reverse())).toEqual(lines(policies));
  });
});

test("a closed snapshot refuses everything and is one that a sidecar accepts", () => {
  const state = stateOf(mesh("trustDomain: mesh.local, access: allow"), service("shop/web"));
  const closed = serviceSnapshot.parse(closedSnapshot(state, { namespace: "shop", name: "orders" }));
  expect(closed.inbound).toEqual({ ports: [], accessDefault: "deny", access: [], rateLimits: [] });
  expect(closed.upstreams).toEqual({});
  expect(closed.revision).toBe(state.revision);
});
