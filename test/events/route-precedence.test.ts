/** What a Route says of the order of its rules stays with it, and changing it changes the route. */

import { expect, test } from "bun:test";
import type { CommandBody } from "../../src/events/commands.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { contents, decided, document, given, service, types } from "./scenario.ts";

const catalog = service("shop/catalog", ["v1", "v2"]);
const rules = [{ backends: [{ subset: "v1", weight: 1 }] }, { match: [{ path: { exact: "/a" } }] }];
const route = (precedence: object): PolicyDocument =>
  document("Route", "shop/catalog", { service: "catalog", ...precedence, rules });
const EXACT = { precedence: "gateway-api" };

function precedenceOf(state: Parameters<typeof contents>[0]): string | undefined {
  const found = contents(state)["Route/shop/catalog"];
  return found?.kind === "Route" ? found.spec.precedence : undefined;
}

test("a shift keeps it, also where the route is defined anew for that", () => {
  const body = { kind: "shift", service: { namespace: "shop", name: "catalog" }, percent: { v2: 10 } } as const;
  const { decision, next } = decided(given(catalog, route(EXACT)), "shop", body);
  expect([types(decision), precedenceOf(next)]).toEqual(["RouteDefined", "gateway-api"]);
});

test("it comes and goes by apply, and no rule is out of reach while it is there", () => {
  const before = given(catalog, route({}));
  const apply = (precedence: object): CommandBody => ({ kind: "apply", documents: [route(precedence)] });
  const { decision, next } = decided(before, "shop", apply(EXACT));
  expect([types(decision), precedenceOf(next), decision.warnings]).toEqual(["RouteDefined", "gateway-api", []]);
  const back = decided(next, "shop", apply({}));
  expect([types(back.decision), precedenceOf(back.next)]).toEqual(["RouteDefined", undefined]);
  expect(back.decision.warnings.join()).toContain("is never reached");
});
