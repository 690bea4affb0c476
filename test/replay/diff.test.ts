import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { evolve } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { diffStates } from "../../src/replay/diff.ts";
import { namespaceDocuments } from "../events/arbitraries.ts";
import { applied, contents } from "../events/scenario.ts";
import { ledger } from "./ledger.ts";

const keys = (documents: ReturnType<typeof diffStates>["documents"]) =>
  documents.map(({ change, key }) => `${change} ${key}`);

describe("diffStates", () => {
  test("says in words and by documents what differs", async () => {
    const { states } = await ledger();
    const [, , , launch, , shifted] = states;
    if (launch === undefined || shifted === undefined) throw new Error("the ledger is too short");
    const diff = diffStates(launch, shifted, { namespace: "shop" });
    expect([diff.fromRevision, diff.toRevision]).toEqual([3, 5]);
    expect(diff.lines).toEqual(["shifted shop/catalog rule 0: v1 90%→50%, v2 10%→50%"]);
    expect(keys(diff.documents)).toEqual(["changed Route/shop/catalog"]);
    expect(diff.documents[0]?.fields).toEqual([
      { path: ["rules", 0, "backends", 0, "weight"], before: 90, after: 50 },
      { path: ["rules", 0, "backends", 1, "weight"], before: 10, after: 50 },
    ]);
    expect(diff.documents[0]?.after?.origin).toMatchObject({ revision: 5, actor: "alice" });
  });

  test("goes both ways", async () => {
    const { states } = await ledger();
    const launch = states[3] ?? INITIAL_STATE;
    const there = diffStates(INITIAL_STATE, launch);
    expect(keys(there.documents)).toEqual([
      "added Mesh/_mesh/default",
      "added Service/shop/catalog",
      "added Service/shop/web",
      "added Route/shop/catalog",
      "added AccessPolicy/shop/front",
    ]);
    expect(there.lines).toContain("root ab: unknown → active");
    const back = diffStates(launch, INITIAL_STATE);
    expect(keys(back.documents)).toEqual(keys(there.documents).map((line) => line.replace("added", "removed")));
    expect(back.lines).toContain("the mesh had not been declared");
    expect(back.lines).toContain("removed shop/catalog");
  });

  test("leaves out what was done and undone: a rollback differs from its target in nothing", async () => {
    const { states } = await ledger();
    const diff = diffStates(states[3] ?? INITIAL_STATE, states[8] ?? INITIAL_STATE, { namespace: "shop" });
    expect(diff).toEqual({ fromRevision: 3, toRevision: 8, events: [], lines: [], documents: [] });
  });

  test("names operators that were added", async () => {
    const { states } = await ledger();
    const before = states[8] ?? INITIAL_STATE;
    const origin = { revision: 9, actor: "root", time: "" };
    const after = evolve(
      before,
      { type: "OperatorAdded", name: "bob", publicKey: "UB", role: "viewer", namespaces: ["shop"] },
      origin,
    );
    expect(diffStates(before, after).lines).toEqual(["added bob as viewer of shop"]);
    expect(diffStates(after, before).lines).toEqual(["operator bob had not been added"]);
    expect(diffStates(before, after, { namespace: "shop" }).lines).toEqual([]);
  });

  test("names operators and join tokens that were revoked, and who joined", () => {
    const key = { publicKey: "UABCDEFGHIJ" };
    const token = { namespace: "shop", service: "web", publicKey: "UKLMNOPQRST" };
    const fold = (...events: DomainEvent[]): MeshState =>
      events.reduce((state, event, index) => {
        const next = evolve(state, event, { revision: index + 1, actor: "ada", time: "2026-01-01T00:00:00Z" });
        return { ...next, revision: index + 1 };
      }, INITIAL_STATE);
    const made: DomainEvent[] = [
      { type: "OperatorAdded", name: "bob", ...key, role: "viewer", namespaces: [] },
      { type: "TokenCreated", ...token, usesMax: 2 },
    ];
    const used: DomainEvent[] = [...made, { type: "TokenUsed", ...token, instance: "vm-1" }];
    const voided: DomainEvent[] = [
      ...used,
      { type: "OperatorRevoked", name: "bob", ...key },
      { type: "TokenRevoked", ...token },
    ];
    const lines = (from: MeshState, to: MeshState, filter = {}) => diffStates(from, to, filter).lines;
    expect(lines(INITIAL_STATE, fold(...made))).toEqual([
      "added bob as viewer",
      "created a join token for shop/web: KLMNOPQR, for 2 instances",
    ]);
    expect(lines(fold(...made), fold(...used))).toEqual(["join token KLMNOPQR of shop/web: 0 → 1 instances joined"]);
    expect(lines(fold(...used), fold(...voided))).toEqual([
      "revoked the operator bob",
      "revoked join token KLMNOPQR of shop/web",
    ]);
    expect(lines(fold(...voided), fold(...used))).toEqual([
      "operator bob had not been revoked",
      "join token KLMNOPQR of shop/web had not been revoked",
    ]);
    expect(lines(fold(...made), INITIAL_STATE, { namespace: "shop" })).toEqual([
      "join token KLMNOPQR of shop/web had not been created",
    ]);
    const ended = { ...fold(...made), tokens: new Map(), revision: 9 };
    expect(lines(fold(...made), ended)).toEqual(["join token KLMNOPQR of shop/web has ended"]);
    expect(lines(fold(...made), fold(...used), { namespace: "bank" })).toEqual([]);
  });

  test("for random documents its events lead from the one state to the other", () => {
    const origin = { revision: 9, actor: "alice", time: "" };
    fc.assert(
      fc.property(namespaceDocuments(), namespaceDocuments(), (first, second) => {
        const before = applied(INITIAL_STATE, "shop", ...first);
        const after = applied(INITIAL_STATE, "shop", ...second);
        const { events, documents } = diffStates(before, after);
        const reached = events.reduce((state, event) => evolve(state, event, origin), before);
        expect(contents(reached)).toEqual(contents(after));
        expect(documents.length === 0).toBe(events.length === 0);
      }),
      { numRuns: 100 },
    );
  });
});
