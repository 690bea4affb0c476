import { describe, expect, test } from "bun:test";
import type { CommandBody } from "../../src/events/commands.ts";
import { foldChange } from "../../src/events/evolve.ts";
import type { MeshState } from "../../src/events/state.ts";
import { compileSnapshot } from "../../src/projections/compile-snapshot.ts";
import { changeAfter, decided, document, given, refused, service, types } from "./scenario.ts";

const ORDERS = { namespace: "shop", name: "orders" };
const revoke = (part: { serial?: string; instance?: string } = {}): CommandBody => {
  return { kind: "revoke-identity", service: ORDERS, ...part };
};
const reinstate = (instance?: string): CommandBody => {
  return { kind: "reinstate-identity", service: ORDERS, ...(instance === undefined ? {} : { instance }) };
};
const after = (state: MeshState, ...bodies: readonly CommandBody[]): MeshState =>
  bodies.reduce((next, body) => decided(next, "shop", body).next, state);
const revocation = (state: MeshState) => state.namespaces.get("shop")?.revocations.get("orders");
const shop = given(service("shop/orders"), service("shop/web"), service("shop/other"));

describe("revoking", () => {
  test("a service as a whole, once", () => {
    const { decision, next } = decided(shop, "shop", revoke());
    expect(types(decision)).toBe("IdentityRevoked");
    expect(revocation(next)).toMatchObject({ whole: { actor: "alice" }, issuedBefore: "2026-01-02T03:04:05.000Z" });
    const again = decided(next, "shop", revoke({ serial: "0a" })).decision;
    expect([types(again), ...again.warnings]).toEqual(["", "shop/orders is revoked already, by alice at revision 2"]);
  });

  test("single certificates, which the whole makes superfluous", () => {
    const two = after(shop, revoke({ serial: "0a" }), revoke({ serial: "0b", instance: "vm-1" }));
    expect([...(revocation(two)?.serials.keys() ?? [])]).toEqual(["0a", "0b"]);
    expect([...(revocation(two)?.instances.keys() ?? [])]).toEqual(["vm-1"]);
    expect(types(decided(two, "shop", revoke({ serial: "0a" })).decision)).toBe("");
    expect(revocation(after(two, revoke()))?.serials.size).toBe(0);
  });

  test("an instance, with a word about the tokens by which it could come back under another name", () => {
    const token = (publicKey: string, usesMax?: number, name = "orders") =>
      ({ type: "TokenCreated", namespace: "shop", service: name, publicKey, ...(usesMax ? { usesMax } : {}) }) as const;
    const used = {
      type: "TokenUsed",
      namespace: "shop",
      service: "orders",
      publicKey: "USED",
      instance: "vm-1",
    } as const;
    const events = [token("USED", 1), used, token("U2", 2, "web"), token("UOPEN0123456789"), token("UTWO", 2)];
    const state = foldChange(shop, changeAfter(shop, "shop", events));
    const [warning, ...more] = decided(state, "shop", revoke({ instance: "vm-1", serial: "0a" })).decision.warnings;
    expect(more).toEqual([]);
    expect(warning).toContain("the join tokens OPEN0123, TWO of shop/orders can join again under another name");
    expect(decided(state, "shop", revoke({ serial: "0a" })).decision.warnings).toEqual([]);
    expect(decided(shop, "shop", revoke({ instance: "vm-1" })).decision.warnings).toEqual([]);
  });

  test("is remembered for as long as a certificate can live", () => {
    const old = foldChange(
      shop,
      changeAfter(shop, "shop", [{ type: "IdentityRevoked", namespace: "shop", service: "orders", serial: "01" }], {
        time: "2025-01-01T00:00:00.000Z",
      }),
    );
    expect([...(revocation(after(old, revoke({ serial: "02" })))?.serials.keys() ?? [])]).toEqual(["02"]);
  });

  test("has a bound", () => {
    const events = Array.from({ length: 1_000 }, (_, index) => ({
      type: "IdentityRevoked" as const,
      namespace: "shop",
      service: "orders",
      serial: index.toString(16).padStart(4, "0"),
    }));
    const full = foldChange(shop, changeAfter(shop, "shop", events));
    expect(refused(full, "shop", revoke({ serial: "ffff" }))).toContain("too many single revocations");
    expect(types(decided(full, "shop", revoke()).decision)).toBe("IdentityRevoked");
  });

  test("is for the service's own namespace, and says so of services that are not declared", () => {
    expect(refused(shop, "bank", revoke())).toContain("shop/orders belongs to another namespace");
    expect(decided(given(), "shop", revoke()).decision.warnings).toEqual(["shop/orders is not declared"]);
  });
});

describe("reinstating", () => {
  test("leaves what was issued before refused", () => {
    const state = after(shop, revoke(), reinstate());
    expect(revocation(state)).toMatchObject({ whole: undefined, issuedBefore: "2026-01-02T03:04:05.000Z" });
    expect(decided(state, "shop", reinstate()).decision.warnings).toEqual(["shop/orders is not revoked"]);
  });

  test("an instance", () => {
    const state = after(shop, revoke({ instance: "vm-1", serial: "0a" }), reinstate("vm-1"));
    expect(revocation(state)?.instances.size).toBe(0);
    expect(revocation(state)?.serials.has("0a")).toBe(true);
  });
});

test("a rollback across it un-revokes nothing, and says so", () => {
  const state = after(given(service("shop/orders")), revoke());
  const changed = decided(state, "shop", { kind: "apply", documents: [service("shop/orders", ["v2"])] }).next;
  const rolledBack = decided(changed, "shop", { kind: "rollback", toRevision: 1 }, given(service("shop/orders")));
  expect(rolledBack.decision.warnings).toEqual(["shop/orders stays revoked (revision 2): heddle identity reinstate"]);
  expect(revocation(rolledBack.next)?.whole).toBeDefined();
});

test("snapshots carry it to the service and to whoever may meet it, and to nobody else", () => {
  const policy = document("AccessPolicy", "shop/orders", {
    service: "orders",
    rules: [{ allow: { from: ["shop/web"] } }],
  });
  const state = after(
    given(service("shop/orders"), service("shop/web"), service("shop/other"), policy),
    revoke({ serial: "0b" }),
    revoke({ serial: "0a" }),
  );
  const seen = (name: string) => compileSnapshot(state, { namespace: "shop", name })?.revocations;
  const entry = { namespace: "shop", name: "orders", whole: false, serials: ["0a", "0b"], revision: 3 };
  expect([seen("orders"), seen("web"), seen("other")]).toEqual([[entry], [entry], undefined]);
  // What orders may call must refuse it as well.
  const called = document("AccessPolicy", "shop/other", { service: "other", rules: [{ allow: { from: ["shop/*"] } }] });
  const opened = decided(state, "shop", { kind: "apply", documents: [called] }).next;
  expect(compileSnapshot(opened, { namespace: "shop", name: "other" })?.revocations).toEqual([entry]);
});
