import { describe, expect, test } from "bun:test";
import { documentAt, documentsOf, serviceOfDocument } from "../../src/events/documents.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { applied, document, service } from "./scenario.ts";

const mesh = document("Mesh", "_mesh/default", { trustDomain: "mesh.local", mtls: "strict", access: "deny" });
const policy = document("AccessPolicy", "shop/front", { service: "web", rules: [{ allow: {} }] });
const route = document("Route", "shop/a-route", { service: "web", rules: [{}] });
const limit = document("RateLimit", "shop/web", { service: "web", rules: [{ requests: 1, per: "1s" }] });

const shop = applied(INITIAL_STATE, "shop", limit, policy, route, service("shop/web"), service("shop/orders"));
const state = applied(applied(shop, "bank", service("bank/teller")), "_mesh", mesh);

describe("documentsOf", () => {
  const rows: [object, string[]][] = [
    [
      {},
      [
        "Mesh/_mesh/default",
        "Service/bank/teller",
        "Service/shop/orders",
        "Service/shop/web",
        "Route/shop/a-route",
        "AccessPolicy/shop/front",
        "RateLimit/shop/web",
      ],
    ],
    [{ namespace: "bank" }, ["Service/bank/teller"]],
    [{ namespace: "_mesh" }, ["Mesh/_mesh/default"]],
    [{ namespace: "nowhere" }, []],
    [{ kind: "Service" }, ["Service/bank/teller", "Service/shop/orders", "Service/shop/web"]],
    [
      { namespace: "shop", service: "web" },
      ["Service/shop/web", "Route/shop/a-route", "AccessPolicy/shop/front", "RateLimit/shop/web"],
    ],
  ];
  for (const [filter, keys] of rows) {
    test(`${JSON.stringify(filter)} in a fixed order`, () => {
      expect(documentsOf(state, filter).map(({ key }) => key as string)).toEqual(keys);
    });
  }

  test("gives each document as it was applied, with the change that it came by", () => {
    const found = documentsOf(state, { namespace: "shop", kind: "AccessPolicy" });
    expect(found).toEqual([
      {
        key: "AccessPolicy/shop/front",
        document: policy,
        origin: { revision: 1, actor: "alice", time: "2026-01-02T03:04:05.000Z" },
      },
    ]);
  });
});

describe("documentAt", () => {
  test("finds what is there, and nothing for what is not or is no key", () => {
    for (const wanted of [mesh, policy, route, limit]) {
      const namespace = wanted.kind === "Mesh" ? "_mesh" : "shop";
      expect(documentAt(state, `${wanted.kind}/${namespace}/${wanted.metadata.name}`)?.document).toEqual(wanted);
    }
    for (const key of [
      "Service/shop/nobody",
      "Service/nowhere/web",
      "Mesh/shop/default",
      "Mesh/_mesh/other",
      "web",
      "",
      "Service/shop/constructor",
    ]) {
      expect(documentAt(state, key)).toBeUndefined();
    }
  });

  test("serviceOfDocument names what a document is about", () => {
    expect([mesh, policy, service("shop/orders")].map(serviceOfDocument)).toEqual([undefined, "web", "orders"]);
  });
});
