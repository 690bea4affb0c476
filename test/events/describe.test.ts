import { describe, expect, test } from "bun:test";
import { describeAll, describe as words } from "../../src/events/describe.ts";
import { type DomainEvent, domainEvent } from "../../src/events/domain-events.ts";

const target = { namespace: "shop", name: "catalog" };
const rule = { ...target, service: "catalog", rule: 1 };
const payment = { namespace: "shop", name: "front", service: "payment" };
const token = { namespace: "shop", service: "orders", publicKey: "UABCDEFGHIJ" };
const ports = [{ port: 8080, protocol: "http" as const }];
const charge = { allow: { from: ["shop/orders"], methods: ["POST"], paths: ["/charge"] } };
const limit = (requests: number) => ({ service: "payment", rules: [{ requests, per: "1s", by: "source" as const }] });

const ROWS: [DomainEvent, string][] = [
  [
    { type: "MeshDeclared", spec: { trustDomain: "mesh.local", mtls: "strict", access: "deny" } },
    "declared the mesh mesh.local: mTLS strict, access deny",
  ],
  [{ type: "MtlsModeSet", from: "strict", to: "permissive" }, "set mTLS of the mesh from strict to permissive"],
  [
    { type: "AccessDefaultSet", from: "deny", to: "allow" },
    "set what happens to calls that no rule allows from deny to allow",
  ],
  [
    { type: "OperatorAdded", name: "bob", publicKey: "UB", role: "editor", namespaces: ["shop"] },
    "added bob as editor of shop",
  ],
  [{ type: "OperatorAdded", name: "eve", publicKey: "UE", role: "admin", namespaces: [] }, "added eve as admin"],
  [{ type: "OperatorRevoked", name: "bob", publicKey: "UB" }, "revoked the operator bob"],
  [
    { type: "TokenCreated", ...token, expiresAt: "2026-12-01T00:00:00Z", usesMax: 1 },
    "created a join token for shop/orders: ABCDEFGH, for 1 instance, until 2026-12-01T00:00:00Z",
  ],
  [{ type: "TokenUsed", ...token, instance: "vm-1" }, "let shop/orders vm-1 join with token ABCDEFGH"],
  [{ type: "TokenRevoked", ...token }, "revoked join token ABCDEFGH of shop/orders"],
  [{ type: "CertificateTtlDefaultSet", to: "12h" }, "set how long certificates live from the default to 12h"],
  [
    { type: "CertificateTtlSet", ...target, from: "12h" },
    "set how long certificates of shop/catalog live from 12h to the default",
  ],
  [{ type: "RootAdded", fingerprint: "0123456789abcdef", pem: "" }, "added root 0123456789ab to the trust bundle"],
  [{ type: "RootActivated", fingerprint: "0123456789abcdef" }, "made root 0123456789ab the one that signs"],
  [
    { type: "FederationTrusted", trustDomain: "other.local", roots: ["a", "b"] },
    "trusts workloads of other.local, by 2 roots",
  ],
  [{ type: "FederationEnded", trustDomain: "other.local" }, "no longer trusts workloads of other.local"],
  [{ type: "RootRotationStarted", from: "0123456789abcdef" }, "began to replace root 0123456789ab"],
  [{ type: "RootRotationPaused" }, "paused the change of roots"],
  [{ type: "RootRotationResumed" }, "went on with the change of roots"],
  [{ type: "RootRotationAborted" }, "called off the change of roots"],
  [{ type: "RootRetired", fingerprint: "0123456789abcdef" }, "retired root 0123456789ab"],
  [{ type: "IdentityRevoked", namespace: "shop", service: "orders" }, "revoked the identity of shop/orders"],
  [
    { type: "IdentityRevoked", namespace: "shop", service: "orders", serial: "0a1b", instance: "vm-3" },
    "revoked the identity of shop/orders, instance vm-3, certificate 0a1b",
  ],
  [
    { type: "IdentityReinstated", namespace: "shop", service: "orders", instance: "vm-3" },
    "reinstated the identity of shop/orders, instance vm-3",
  ],
  [
    {
      type: "FaultInjected",
      namespace: "shop",
      service: "orders",
      id: "f3a9",
      match: { methods: ["GET"] },
      fault: { delay: { fixed: "2s", percent: 10 }, abort: { grpcStatus: 14 } },
      expiresAt: "2026-01-01T00:00:00Z",
    },
    "injected fault f3a9 into calls of shop/orders with { methods: [GET] }: delay 2s for 10%, abort with gRPC status 14, until 2026-01-01T00:00:00Z",
  ],
  [
    { type: "FaultInjected", namespace: "shop", service: "orders", id: "f3a9", fault: { abort: { reset: true } } },
    "injected fault f3a9 into calls of shop/orders: reset",
  ],
  [{ type: "FaultCleared", namespace: "shop", service: "orders", id: "f3a9" }, "cleared fault f3a9 of shop/orders"],
  [
    { type: "ServiceDeclared", ...target, spec: { ports, subsets: { v1: {}, v2: {} } } },
    "declared shop/catalog on 8080 (http) with subsets v1, v2",
  ],
  [
    { type: "ServicePortsSet", ...target, from: ports, to: [{ port: 80, protocol: "grpc" }] },
    "set the ports of shop/catalog from 8080 (http) to 80 (grpc)",
  ],
  [
    { type: "SubsetsDefined", ...target, to: { v1: { version: "v1" } } },
    "defined the subsets of shop/catalog: v1 (version=v1)",
  ],
  [{ type: "SubsetsDefined", ...target, from: { v1: {} } }, "removed the subsets of shop/catalog"],
  [
    { type: "LoadBalancerSet", ...target, to: { algorithm: "random" } },
    "set load balancing of shop/catalog from the default to random",
  ],
  [
    { type: "ConnectionPoolSet", ...target, to: { maxRequests: 5 } },
    "set the connection pool of shop/catalog from the defaults to maxRequests=5",
  ],
  [
    { type: "OutlierDetectionSet", ...target, from: { interval: "5s" } },
    "set outlier detection of shop/catalog from interval=5s to the defaults",
  ],
  [
    { type: "HealthCheckSet", ...target, to: { http: { path: "/healthz" }, interval: "5s" } },
    "set health checks of shop/catalog from the defaults to http=(path=/healthz) interval=5s",
  ],
  [{ type: "ServiceRemoved", ...target }, "removed shop/catalog"],
  [
    {
      type: "RouteDefined",
      ...target,
      spec: {
        service: "catalog",
        rules: [
          {},
          {
            backends: [
              { subset: "v1", weight: 9 },
              { subset: "v2", weight: 1 },
            ],
          },
          { backends: [{ service: "catalog-next" }] },
          { redirect: { path: "/new" } },
          { respond: { status: 503 } },
        ],
      },
    },
    "defined the route of shop/catalog: rule 0 → whole service, rule 1 → v1 90% + v2 10%, rule 2 → service catalog-next 100%, rule 3 → a redirect, rule 4 → a response with 503",
  ],
  [
    { type: "TrafficShifted", ...rule, from: { v1: 90, v2: 10 }, to: { v1: 50, v2: 50 } },
    "shifted shop/catalog rule 1: v1 90%→50%, v2 10%→50%",
  ],
  [
    { type: "TrafficShifted", ...rule, from: { v1: 1, "": 2 }, to: { v1: 0, "": 1 } },
    "shifted shop/catalog rule 1: v1 33.33%→0%, whole service 66.67%→100%",
  ],
  [{ type: "RouteTimeoutSet", ...rule, to: "3s" }, "set the timeout of shop/catalog rule 1 from none to 3s"],
  [
    { type: "RouteRetriesSet", ...rule, from: { attempts: 3, perTryTimeout: "1s", on: ["5xx", "reset"] } },
    "set the retries of shop/catalog rule 1 from 3 of 1s each on 5xx, reset to none",
  ],
  [
    {
      type: "JwtValidationSet",
      ...target,
      to: {
        required: true,
        providers: [{ issuer: "https://id.example", audiences: ["shop"], jwksUri: "https://id.example/keys" }],
      },
    },
    "set the tokens that shop/catalog validates from none to https://id.example (required)",
  ],
  [
    {
      type: "ServiceExternalSet",
      ...target,
      to: { identity: "spiffe://b.local/ns/shop/sa/pay", addresses: ["b:1", "c:2"] },
    },
    "said that shop/catalog is spiffe://b.local/ns/shop/sa/pay at b:1, c:2",
  ],
  [{ type: "ServiceExternalSet", ...target }, "made shop/catalog a service of this mesh"],
  [{ type: "ServiceMtlsSet", ...target, to: "permissive" }, "set mTLS of shop/catalog from the default to permissive"],
  [
    { type: "NamespaceDefaultsSet", name: "legacy", to: { mtls: "permissive", access: "allow" } },
    "set what holds in the namespace legacy from what the mesh says to mTLS permissive, access allow",
  ],
  [{ type: "RouteRemoved", ...target, service: "catalog" }, "removed the route catalog of shop/catalog"],
  [{ type: "AccessPolicyDeclared", ...payment }, "declared the access policy front of shop/payment"],
  [{ type: "AccessGranted", ...payment, index: 0, rule: charge }, "granted shop/orders → shop/payment POST /charge"],
  [{ type: "AccessGranted", ...payment, index: 0, rule: { allow: {} } }, "granted any caller → shop/payment"],
  [{ type: "AccessRevoked", ...payment, index: 0, rule: charge }, "revoked shop/orders → shop/payment POST /charge"],
  [
    { type: "AccessForbidden", ...payment, index: 0, rule: { deny: { from: ["*"], paths: ["/a", "/b"] } } },
    "forbade any caller → shop/payment /a, /b",
  ],
  [
    { type: "AccessForbiddanceLifted", ...payment, index: 0, rule: { deny: { paths: ["/a"] } } },
    "no longer forbids any caller → shop/payment /a",
  ],
  [
    { type: "AccessPolicyDeclared", ...payment, default: "deny", dryRun: true },
    "declared the access policy front of shop/payment: dry run, deny what no rule speaks of",
  ],
  [
    { type: "AccessPolicyDefaultSet", ...payment, to: "allow" },
    "set what happens to calls of shop/payment that no rule speaks of from the default of the mesh to allow",
  ],
  [
    { type: "AccessDryRunStarted", ...payment },
    "put the access policy front of shop/payment in dry run: it decides nothing",
  ],
  [{ type: "AccessDryRunEnded", ...payment }, "put the access policy front of shop/payment in force"],
  [
    {
      type: "AccessAuditAdded",
      ...payment,
      index: 0,
      rule: {
        audit: {
          from: ["none", "spiffe://other/*"],
          notFrom: ["shop/web"],
          ipBlocks: ["10.0.0.0/8"],
          notMethods: ["GET"],
          ports: [8080],
          headers: { "x-key": { exact: "secret" } },
          grpc: [{ service: "shop.Payment", methods: ["Charge", "Void"] }],
          when: [{ claim: ["realm", "roles"], values: ["admin"], notValues: ["guest"] }],
        },
      },
    },
    "audits callers without an identity, spiffe://other/* but shop/web at 10.0.0.0/8 → shop/payment not GET gRPC shop.Payment/Charge, shop.Payment/Void on port 8080 with x-key when realm.roles is admin and is not guest",
  ],
  [
    { type: "AccessAuditRemoved", ...payment, index: 0, rule: { audit: {} }, dryRun: true },
    "no longer audits any caller → shop/payment (dry run)",
  ],
  [{ type: "AccessPolicyRemoved", ...payment }, "removed the access policy front of shop/payment"],
  [
    { type: "RateLimitSet", ...target, to: limit(100) },
    "limited the rate of calls to shop/payment: 100 per 1s by source",
  ],
  [
    { type: "RateLimitSet", ...target, from: limit(100), to: limit(5) },
    "changed the rate of calls to shop/payment: 5 per 1s by source",
  ],
  [{ type: "RateLimitRemoved", ...target, from: limit(5) }, "lifted the rate limit catalog of shop/payment"],
  [{ type: "ChangeReverted", namespace: "shop", revision: 12 }, "reverted revision 12 in shop"],
  [{ type: "RolledBack", namespace: "shop", toRevision: 12 }, "rolled shop back to revision 12"],
  [
    { type: "RolledBack", namespace: "shop", toRevision: 12, only: ["Route/shop/catalog"] },
    "rolled Route/shop/catalog back to revision 12",
  ],
];

describe("an event in words", () => {
  for (const [event, expected] of ROWS) test(expected, () => expect(words(event)).toBe(expected));

  test("exists for every event of the vocabulary", () => {
    const described = new Set(ROWS.map(([{ type }]) => type));
    expect(domainEvent.options.map((option) => option.shape.type.value).filter((type) => !described.has(type))).toEqual(
      [],
    );
  });

  test("counts what would be too long to name, and never exceeds its bound", () => {
    const from = Array.from({ length: 30 }, (_, index) => `shop/caller-${index}`);
    const many = words({ type: "AccessGranted", ...payment, index: 0, rule: { allow: { from } } });
    expect(many).toContain("shop/caller-4 and 25 more → shop/payment");
    const paths = Array.from({ length: 5 }, (_, index) => `/${String(index).repeat(400)}`);
    const long = words({ type: "AccessGranted", ...payment, index: 0, rule: { allow: { paths } } });
    expect(long).toHaveLength(240);
    expect(long).toEndWith("…");
  });

  test("carries no control characters to a terminal", () => {
    const paths = ["/\u001b[2J\n\u202e"];
    const text = words({ type: "AccessGranted", ...payment, index: 0, rule: { allow: { paths } } });
    expect(text).toBe("granted any caller → shop/payment /\uFFFD[2J\uFFFD\uFFFD");
  });

  test("a change of very many events counts the rest", () => {
    const events = Array.from({ length: 60 }, (): DomainEvent => ({ type: "ServiceRemoved", ...target }));
    const lines = describeAll(events);
    expect(lines).toHaveLength(51);
    expect(lines.at(-1)).toBe("and 10 more");
  });
});
