import { describe, expect, test } from "bun:test";
import type { CommandBody } from "../../src/events/commands.ts";
import { contents, decided, document, given, refused, service, types } from "./scenario.ts";

const payment = { namespace: "shop", name: "payment" };
const rule = { allow: { from: ["shop/orders"], methods: ["POST"], paths: ["/charge"] } };
const access = (more: Partial<Extract<CommandBody, { kind: "access" }>> = {}): CommandBody => ({
  kind: "access",
  service: payment,
  policy: "allow-orders",
  rule,
  ...more,
});
const policy = (name: string, about: string, ...rules: object[]) =>
  document("AccessPolicy", `shop/${name}`, { service: about, rules });
const services = [service("shop/payment"), service("shop/orders")];

describe("access", () => {
  test("makes the policy if need be", () => {
    const { decision } = decided(given(...services), "shop", access());
    const about = { namespace: "shop", name: "allow-orders", service: "payment" };
    expect(decision.events).toEqual([
      { type: "AccessPolicyDeclared", ...about },
      { type: "AccessGranted", ...about, index: 0, rule },
    ]);
  });

  test("adds to the end of a policy that is there", () => {
    const first = { deny: { paths: ["/admin"] } };
    const state = given(...services, policy("allow-orders", "payment", first));
    const { decision, next } = decided(state, "shop", access());
    expect(types(decision)).toBe("AccessGranted");
    expect(contents(next)["AccessPolicy/shop/allow-orders"]?.spec).toEqual({
      service: "payment",
      rules: [first, rule],
    });
  });

  test("forbids with a deny rule", () => {
    const { decision } = decided(given(...services), "shop", access({ rule: { deny: { paths: ["/admin"] } } }));
    expect(types(decision)).toBe("AccessPolicyDeclared AccessForbidden");
  });

  test("changes nothing where the rule is there, and says whose it is", () => {
    const { next } = decided(given(...services), "shop", access());
    const again = decided(next, "shop", access());
    expect(again.decision.events).toEqual([]);
    expect(again.decision.warnings).toEqual([
      "AccessPolicy/shop/allow-orders already has this rule: rules[0], by alice at revision 2",
    ]);
  });

  test("warns of a caller that is not declared", () => {
    const { decision } = decided(given(services[0] ?? service("shop/payment")), "shop", access());
    expect(decision.warnings.join()).toContain("shop/orders is not declared");
  });

  test("refuses a policy that is about another service", () => {
    const state = given(...services, policy("allow-orders", "orders", { allow: {} }));
    expect(refused(state, "shop", access())).toContain("AccessPolicy/shop/allow-orders is about shop/orders");
  });

  test("refuses a service that is not there, and one of another namespace", () => {
    const misspelt = access({ service: { namespace: "shop", name: "paymetn" } });
    expect(refused(given(...services), "shop", misspelt)).toContain("did you mean payment?");
    expect(refused(given(...services), "bank", access())).toContain("another namespace");
  });

  test("refuses a rule beyond what a policy may hold", () => {
    const many = Array.from({ length: 1024 }, (_, index) => ({ deny: { paths: [`/${index}`] } }));
    const state = given(...services, policy("allow-orders", "payment", ...many));
    expect(refused(state, "shop", access())).toContain("AccessPolicy/shop/allow-orders spec.rules: ");
  });
});
