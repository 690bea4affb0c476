import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type DomainEvent, domainEvent } from "../../src/events/domain-events.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { documentKey } from "../../src/policy/document-key.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { meshDocument, namespaceDocuments } from "./arbitraries.ts";
import { applied, contents, contentsOf, decided, refused } from "./scenario.ts";

// A failure prints its seed and path: pass them to `fc.assert` to see it again.
const RUNS = { numRuns: 150 };

/** The namespace becomes exactly these documents: an apply, and a delete of what else there is. */
function become(state: MeshState, documents: PolicyDocument[]): MeshState {
  const wanted = new Set<string>(documents.map(documentKey));
  const keys = Object.keys(contents(state)).filter((key) => !wanted.has(key));
  // Routes that stay may need to let go of a subset, and those that go must not stand in the way of new ones.
  const routesGone = keys.filter((key) => key.startsWith("Route/"));
  let next = state;
  if (routesGone.length > 0) next = decided(next, "shop", { kind: "delete", keys: routesGone }).next;
  next = decided(next, "shop", { kind: "apply", documents }).next;
  const rest = keys.filter((key) => !routesGone.includes(key));
  return rest.length === 0 ? next : decided(next, "shop", { kind: "delete", keys: rest }).next;
}

describe("for random documents", () => {
  test("applying the same twice emits nothing the second time", () => {
    fc.assert(
      fc.property(namespaceDocuments(), (documents) => {
        const once = applied(INITIAL_STATE, "shop", ...documents);
        expect(decided(once, "shop", { kind: "apply", documents }).decision.events).toEqual([]);
      }),
      RUNS,
    );
  });

  test("decide and evolve together reach exactly what was asked, from anywhere", () => {
    fc.assert(
      fc.property(namespaceDocuments(), namespaceDocuments(), (first, second) => {
        const state = become(applied(INITIAL_STATE, "shop", ...first), second);
        expect(contents(state)).toEqual(contentsOf(second));
      }),
      RUNS,
    );
  });

  test("every event decided is one that the ledger accepts, and survives its JSON", () => {
    fc.assert(
      fc.property(namespaceDocuments(), namespaceDocuments(), (first, second) => {
        const before = applied(INITIAL_STATE, "shop", ...first);
        const target = become(before, second);
        const { decision } = decided(target, "shop", { kind: "rollback", toRevision: 0 }, INITIAL_STATE);
        const back = decided(target, "shop", { kind: "apply", documents: second }).decision;
        for (const event of [...decision.events, ...back.events]) {
          const read: DomainEvent = domainEvent.parse(JSON.parse(JSON.stringify(event)));
          expect(read).toEqual(event);
        }
      }),
      RUNS,
    );
  });

  test("a rollback brings back the very documents of that revision", () => {
    fc.assert(
      fc.property(fc.array(namespaceDocuments(), { minLength: 2, maxLength: 4 }), fc.nat(), (history, pick) => {
        const states = [INITIAL_STATE];
        for (const documents of history) states.push(become(states.at(-1) ?? INITIAL_STATE, documents));
        const head = states.at(-1) ?? INITIAL_STATE;
        const target = states[pick % states.length] ?? INITIAL_STATE;
        const body = { kind: "rollback", toRevision: target.revision } as const;
        if (JSON.stringify(contents(head)) === JSON.stringify(contents(target))) {
          expect(refused(head, "shop", body, target)).toContain("nothing differs");
        } else {
          const { decision, next } = decided(head, "shop", body, target);
          expect(decision.events[0]?.type).toBe("RolledBack");
          expect(contents(next)).toEqual(contents(target));
        }
      }),
      RUNS,
    );
  });

  test("the Mesh reaches what was asked, with the defaults where it says nothing", () => {
    fc.assert(
      fc.property(fc.array(meshDocument, { minLength: 1, maxLength: 4 }), (documents) => {
        let state = INITIAL_STATE;
        for (const document of documents) {
          state = applied(state, "_mesh", document);
          expect<unknown>(state.mesh?.value).toEqual({ mtls: "strict", access: "deny", ...document.spec });
        }
        const last = documents.slice(-1);
        expect(decided(state, "_mesh", { kind: "apply", documents: last }).decision.events).toEqual([]);
      }),
      RUNS,
    );
  });

  test("rules that a change does not touch keep their origin", () => {
    fc.assert(
      fc.property(namespaceDocuments(), namespaceDocuments(), (first, second) => {
        const before = applied(INITIAL_STATE, "shop", ...first);
        const after = become(before, second);
        for (const [name, policy] of after.namespaces.get("shop")?.accessPolicies ?? []) {
          const was = before.namespaces.get("shop")?.accessPolicies.get(name);
          if (was?.service !== policy.service) continue;
          // The least edit keeps at least the rules of a common beginning.
          for (const [index, rule] of policy.rules.entries()) {
            if (JSON.stringify(was.rules[index]?.value) !== JSON.stringify(rule.value)) break;
            expect<unknown>(rule.origin).toEqual(was.rules[index]?.origin);
          }
        }
      }),
      RUNS,
    );
  });
});
