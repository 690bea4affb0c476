import { describe, expect, test } from "bun:test";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { accessDiff } from "../../src/replay/access-diff.ts";
import { applied, changeAfter, decided, document, service } from "../events/scenario.ts";
import { mesh } from "./ledger.ts";

const shop = applied(INITIAL_STATE, "shop", ...["web", "orders", "payment"].map((name) => service(`shop/${name}`)));
const guarded = (...rules: object[]): MeshState =>
  applied(shop, "shop", document("AccessPolicy", "shop/guard", { service: "payment", rules }));

const words = (before: MeshState, after: MeshState, filter = {}): string[] =>
  accessDiff(before, after, filter).map(({ caller, service: to, change, words: calls }) => {
    return `${change === "started" ? "+" : "-"} ${caller} → ${to}: ${calls.join("; ")}`;
  });

describe("the calls that a change makes possible or ends", () => {
  test("any call, where a grant names neither methods nor paths", () => {
    const open = guarded({ allow: { from: ["shop/web"] } });
    expect(words(shop, open)).toEqual(["+ shop/web → shop/payment: any call"]);
    expect(words(open, shop)).toEqual(["- shop/web → shop/payment: any call"]);
    expect(words(open, open)).toEqual([]);
  });

  test("methods and paths as far as rules tell them apart", () => {
    const rules = { allow: { from: ["shop/web"], methods: ["POST"], paths: ["/charge", "/refund/*"] } };
    expect(words(shop, guarded(rules))).toEqual(["+ shop/web → shop/payment: POST /charge, /refund/*"]);
    const wide = guarded({ allow: { from: ["shop/web"], methods: ["POST"] } });
    expect(words(guarded(rules), wide)).toEqual(["+ shop/web → shop/payment: POST on any path but /charge, /refund/*"]);
  });

  test("a denial takes away what grants still say", () => {
    const open = { allow: { from: ["shop/*"] } };
    const denied = guarded(open, { deny: { paths: ["/admin/*"] } });
    expect(words(guarded(open), denied, { service: "shop/web" })).toEqual([
      "- shop/web → shop/payment: any method /admin/*",
    ]);
    expect(words(shop, denied, { service: "shop/orders" })).toEqual([
      "+ shop/orders → shop/payment: any method on any path but /admin/*",
    ]);
  });

  test("callers without an identity come and go with the mode of mutual TLS, under the same rules", () => {
    const rules = [{ allow: { from: ["none"], paths: ["/public/*"] } }];
    const strict = guarded(...rules);
    const permissive = { ports: [{ port: 8080, protocol: "http" }], mtls: "permissive" };
    const open = applied(strict, "shop", document("Service", "shop/payment", permissive));
    expect(words(shop, strict)).toEqual([]);
    expect(words(strict, open)).toEqual(["+ none → shop/payment: any method /public/*"]);
    expect(words(open, strict)).toEqual(["- none → shop/payment: any method /public/*"]);
  });

  test("workloads of another mesh, once its trust domain is trusted", () => {
    const closed = guarded({ allow: { from: ["spiffe://partner.example/ns/crm/*"], methods: ["GET"] } });
    const event = { type: "FederationTrusted", trustDomain: "partner.example", roots: ["x"] } as const;
    const trusted = foldChange(closed, changeAfter(closed, "_mesh", [{ ...event, roots: [...event.roots] }]));
    expect(words(closed, trusted)).toEqual(["+ spiffe://partner.example/ns/crm/* → shop/payment: GET on any path"]);
    expect(words(trusted, closed, { service: "shop/web" })).toEqual([]);
  });

  test("who comes may call what the rules say already, and who goes may not", () => {
    const open = guarded({ allow: { from: ["shop/*"] } });
    const { next } = decided(open, "shop", { kind: "delete", keys: ["Service/shop/orders"] });
    expect(words(open, next)).toEqual(["- shop/orders → shop/payment: any call"]);
    expect(words(next, open)).toEqual(["+ shop/orders → shop/payment: any call"]);
  });

  test("the default of the mesh concerns everybody", () => {
    const document = { ...mesh("strict"), spec: { trustDomain: "mesh.local", mtls: "strict", access: "allow" } };
    const closed = applied(shop, "_mesh", mesh("strict"));
    const open = decided(closed, "_mesh", { kind: "apply", documents: [document as ReturnType<typeof mesh>] }).next;
    expect(words(closed, open)).toHaveLength(9);
    expect(words(closed, open, { namespace: "bank" })).toEqual([]);
  });

  test("writing the same rules anew changes nothing", () => {
    const rule = { allow: { from: ["shop/web"] } };
    const first = guarded(rule);
    const renamed = document("AccessPolicy", "shop/other", { service: "payment", rules: [rule] });
    const { next } = decided(applied(first, "shop", renamed), "shop", {
      kind: "delete",
      keys: ["AccessPolicy/shop/guard"],
    });
    expect(words(first, next)).toEqual([]);
  });

  test("what calls bring along is told as far as it makes a difference", () => {
    const rules = [
      { allow: { from: ["shop/web"], headers: { "x-team": { exact: "blue" } }, ports: [8080] } },
      { allow: { from: ["shop/orders"], notHeaders: { "x-debug": { present: true } } } },
    ];
    expect(words(shop, guarded(...rules))).toEqual([
      "+ shop/orders → shop/payment: any call; but not any call with header x-debug: x",
      "+ shop/web → shop/payment: any call with header x-team: blue, port 8080",
    ]);
    const narrow = guarded({ allow: { from: ["shop/web"], ipBlocks: ["10.0.0.0/8"], methods: ["GET"] } });
    expect(words(shop, narrow)).toEqual(["+ shop/web → shop/payment: GET on any path with an address of 10.0.0.0/8"]);
  });

  test("paths with wildcards and gRPC methods are probed as well", () => {
    const wild = guarded({ allow: { from: ["shop/web"], paths: ["/users/{id}/orders", "/**/health"] } });
    expect(words(shop, wild)).toEqual(["+ shop/web → shop/payment: any method /**/health, /users/{id}/orders"]);
    const grpc = guarded({
      allow: { from: ["shop/web"], grpc: [{ service: "shop.v1.Payment", methods: ["Charge"] }] },
    });
    expect(words(shop, grpc)).toEqual(["+ shop/web → shop/payment: POST /shop.v1.Payment/Charge"]);
    const not = guarded({ allow: { from: ["shop/web"], notPaths: ["/admin/*"], notMethods: ["DELETE"] } });
    expect(words(shop, not)).toEqual(["+ shop/web → shop/payment: any method but DELETE on any path but /admin/*"]);
  });
});
