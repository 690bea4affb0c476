/** How many services a namespace may have, and what becomes of one that has more already. */

import { expect, test } from "bun:test";
import { NAMESPACE_SERVICES_MAX } from "../../src/events/decide.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { applied, changeAfter, decided, refused, service } from "./scenario.ts";

/** As an earlier version, which knew no bound, may have recorded it. */
function having(services: number): MeshState {
  const events = Array.from({ length: services }, (_, index): DomainEvent => {
    return {
      type: "ServiceDeclared",
      namespace: "shop",
      name: `s${index}`,
      spec: { ports: [{ port: 80, protocol: "http" }] },
    };
  });
  return foldChange(INITIAL_STATE, changeAfter(INITIAL_STATE, "shop", events));
}

test("the last that there is room for is let in, and one more is not", () => {
  const full = applied(having(NAMESPACE_SERVICES_MAX - 1), "shop", service("shop/web"));
  expect(refused(full, "shop", { kind: "apply", documents: [service("shop/more")] })).toBe(
    ": shop would have 2001 services, and no more than 2000 are allowed; put some into another namespace",
  );
  expect(applied(full, "bank", service("bank/teller")).namespaces.get("bank")?.services.size).toBe(1);
});

test("a namespace that has more already can change, and become smaller", () => {
  const over = having(NAMESPACE_SERVICES_MAX + 5);
  const changed = applied(over, "shop", service("shop/s0", ["v1"]));
  const { next } = decided(changed, "shop", { kind: "delete", keys: ["Service/shop/s1"] });
  expect(next.namespaces.get("shop")?.services.size).toBe(NAMESPACE_SERVICES_MAX + 4);
  expect(refused(next, "shop", { kind: "apply", documents: [service("shop/more")] })).toContain("2005 services");
});
