import { describe, expect, test } from "bun:test";
import { decide } from "../../src/events/decide.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { applied, changeAfter, contents, decided, document, given, refused, service, types } from "./scenario.ts";

const web = service("shop/web");
const catalog = service("shop/catalog", ["v1", "v2"]);
const route = (v1: number, v2: number) =>
  document("Route", "shop/catalog", {
    service: "catalog",
    rules: [
      {
        backends: [
          { subset: "v1", weight: v1 },
          { subset: "v2", weight: v2 },
        ],
      },
    ],
  });
const limit = document("RateLimit", "shop/web", { service: "web", rules: [{ requests: 1, per: "1s" }] });

/** Revision 1: a 90/10 canary. Revision 2: half and half, and a rate limit. */
const past = given(web, catalog, route(90, 10));
const present = applied(past, "shop", route(50, 50), limit);

describe("rollback", () => {
  test("brings a namespace back, and marks that it did", () => {
    const { decision, next } = decided(present, "shop", { kind: "rollback", toRevision: 1 }, past);
    expect(decision.events[0]).toEqual({ type: "RolledBack", namespace: "shop", toRevision: 1 });
    expect(types(decision)).toBe("RolledBack TrafficShifted RateLimitRemoved");
    expect(contents(next)).toEqual(contents(past));
  });

  test("can be limited to some documents", () => {
    const only = ["RateLimit/shop/web"];
    const { decision, next } = decided(present, "shop", { kind: "rollback", toRevision: 1, only }, past);
    expect(decision.events[0]).toEqual({ type: "RolledBack", namespace: "shop", toRevision: 1, only });
    expect(types(decision)).toBe("RolledBack RateLimitRemoved");
    expect(contents(next)["Route/shop/catalog"]).toEqual(route(50, 50));
  });

  test("brings back what was deleted since", () => {
    const { next } = decided(present, "shop", { kind: "delete", keys: ["Route/shop/catalog", "Service/shop/catalog"] });
    const { decision } = decided(next, "shop", { kind: "rollback", toRevision: 1 }, past);
    expect(types(decision)).toBe("RolledBack ServiceDeclared RouteDefined RateLimitRemoved");
  });

  test("to revision 0 takes everything away", () => {
    const { next } = decided(present, "shop", { kind: "rollback", toRevision: 0 }, INITIAL_STATE);
    expect(contents(next)).toEqual({});
  });

  test("leaves other namespaces, operators and roots alone", () => {
    const operator: DomainEvent = {
      type: "OperatorAdded",
      name: "bob",
      publicKey: "UB",
      role: "editor",
      namespaces: ["shop"],
    };
    const root = { type: "RootAdded", fingerprint: "ab", pem: "PEM" } as const;
    const administered = foldChange(present, changeAfter(present, "_mesh", [operator, root]));
    const head = applied(administered, "bank", service("bank/teller"));
    const { next } = decided(head, "shop", { kind: "rollback", toRevision: 1 }, past);
    expect(next.operators).toEqual(head.operators);
    expect(next.roots).toEqual(head.roots);
    expect(contents(next, "bank")).toEqual(contents(head, "bank"));
  });

  test("brings the Mesh back, and refuses to take it away", () => {
    const mesh = (mtls: string) => document("Mesh", "_mesh/default", { trustDomain: "mesh.local", mtls });
    const strict = applied(INITIAL_STATE, "_mesh", mesh("strict"));
    const disabled = applied(strict, "_mesh", mesh("disabled"));
    const { decision } = decided(disabled, "_mesh", { kind: "rollback", toRevision: 1 }, strict);
    expect(decision.events.slice(1)).toEqual([{ type: "MtlsModeSet", from: "disabled", to: "strict" }]);
    const why = refused(disabled, "_mesh", { kind: "rollback", toRevision: 0 }, INITIAL_STATE);
    expect(why).toContain("cannot be taken away");
  });

  test("refuses when nothing differs", () => {
    expect(refused(present, "shop", { kind: "rollback", toRevision: 2 }, present)).toContain("nothing differs");
  });

  test("refuses a revision that has not come", () => {
    expect(refused(present, "shop", { kind: "rollback", toRevision: 3 })).toContain("the last one is 2");
  });

  test("refuses documents that were at neither time", () => {
    const only = ["Route/shop/catalogue"];
    const why = refused(present, "shop", { kind: "rollback", toRevision: 1, only }, past);
    expect(why).toContain("did you mean Route/shop/catalog?");
  });

  test("refuses what would leave a document without what it needs", () => {
    const both = applied(given(web), "shop", catalog, route(1, 1));
    const body = { kind: "rollback", toRevision: 1, only: ["Service/shop/catalog"] } as const;
    const why = refused(both, "shop", { ...body, only: [...body.only] }, given(web));
    expect(why).toContain("Route/shop/catalog spec.service: there is no service shop/catalog");
  });

  test("needs the state of that revision from its caller", () => {
    const command = { namespace: "shop", body: { kind: "rollback", toRevision: 1 } } as const;
    expect(() => decide(present, command)).toThrow(TypeError);
  });

  describe("of what others did", () => {
    const body = { kind: "rollback", toRevision: 1 } as const;
    const bob = { revision: 2, actor: "bob" };
    const others = { documents: new Map([["Route/shop/catalog", bob] as const]), faults: new Map() };
    const deciding = (more: object) =>
      decide(present, { namespace: "shop", body: { ...body, ...more } }, { target: past, others });

    test("is refused unless it is consented to, up to that revision", () => {
      expect(deciding({})).toMatchObject({ ok: false, error: { problems: [{ path: "othersUpTo" }] } });
      expect(JSON.stringify(deciding({ othersUpTo: 1 }))).toContain("what bob did at revision 2");
      expect(deciding({ othersUpTo: 2 })).toMatchObject({ ok: true });
    });

    test("is allowed where their documents are left out, or would not change", () => {
      expect(deciding({ only: ["RateLimit/shop/web"] })).toMatchObject({ ok: true });
      const unchanged = { documents: new Map([["Service/shop/web", bob] as const]), faults: new Map() };
      const decision = decide(present, { namespace: "shop", body }, { target: past, others: unchanged });
      expect(decision.ok).toBe(true);
    });

    test("holds for faults that they injected", () => {
      const fault = { delay: { fixed: "1s" } };
      const injected = foldChange(
        present,
        changeAfter(present, "shop", [{ type: "FaultInjected", namespace: "shop", service: "web", id: "f1", fault }]),
      );
      const theirs = { documents: new Map(), faults: new Map([["f1", { revision: 3, actor: "bob" }]]) };
      const command = (othersUpTo: number) => ({ namespace: "shop", body: { ...body, othersUpTo } });
      const context = { target: past, others: theirs };
      expect(JSON.stringify(decide(injected, command(2), context))).toContain("fault f1: this would undo what bob did");
      expect(decide(injected, command(3), context).ok).toBe(true);
    });
  });
});
