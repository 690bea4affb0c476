import { describe, expect, test } from "bun:test";
import { decide } from "../../src/events/decide.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import type { PolicyDocument } from "../../src/policy/schema.ts";
import { applied, changeAfter, contents, document, service } from "./scenario.ts";

const route = (v1: number, v2: number, timeout = "1s") =>
  document("Route", "shop/catalog", {
    service: "catalog",
    rules: [
      {
        timeout,
        backends: [
          { subset: "v1", weight: v1 },
          { subset: "v2", weight: v2 },
        ],
      },
    ],
  });
const policy = (...callers: string[]) =>
  document("AccessPolicy", "shop/front", {
    service: "catalog",
    rules: callers.map((from) => ({ allow: { from: [from] } })),
  });

/** The states of a history, each of whose steps applies documents; at index 0 the beginning. */
function historyOf(...steps: PolicyDocument[][]): MeshState[] {
  const states = [INITIAL_STATE];
  for (const documents of steps) states.push(applied(states.at(-1) ?? INITIAL_STATE, "shop", ...documents));
  return states;
}

function revert(states: readonly MeshState[], revision: number) {
  const state = states.at(-1) ?? INITIAL_STATE;
  const [before, after] = [states[revision - 1], states[revision]];
  const reverted = before && after && { before, after };
  const result = decide(state, { namespace: "shop", body: { kind: "revert", revision } }, { reverted });
  if (!result.ok) return { refused: result.error.problems.map(({ message }) => message).join("; ") };
  const next = foldChange(state, changeAfter(state, "shop", result.value.events));
  return { events: result.value.events, next };
}

const start = [service("shop/catalog", ["v1", "v2"]), service("shop/web"), route(90, 10)];

describe("revert", () => {
  test("undoes one change, and keeps those after it", () => {
    const states = historyOf(start, [route(50, 50)], [route(50, 50, "2s")], [policy("shop/web")]);
    const { events, next } = revert(states, 2);
    expect(events?.[0]).toEqual({ type: "ChangeReverted", namespace: "shop", revision: 2 });
    expect(events?.map(({ type }) => type)).toEqual(["ChangeReverted", "TrafficShifted"]);
    expect(next && contents(next)["Route/shop/catalog"]).toEqual(route(90, 10, "2s"));
    expect(next && contents(next)["AccessPolicy/shop/front"]).toEqual(policy("shop/web"));
  });

  test("takes one grant out of a policy, and leaves those that others gave", () => {
    const states = historyOf(start, [policy("shop/web")], [policy("shop/web", "bank/teller")]);
    const { next } = revert(states, 2);
    // The policy was that change's too, but holds somebody else's rule now.
    expect(next && contents(next)["AccessPolicy/shop/front"]).toEqual(policy("bank/teller"));
    expect(revert(historyOf(start, [policy("shop/web")]), 2).events?.at(-1)?.type).toBe("AccessPolicyRemoved");
  });

  test("brings back a rule that was taken away, beside what came since", () => {
    const states = historyOf([...start, policy("shop/a", "shop/b")], [policy("shop/b")], [policy("shop/b", "shop/c")]);
    const { next } = revert(states, 2);
    expect(next && contents(next)["AccessPolicy/shop/front"]).toEqual(policy("shop/a", "shop/b", "shop/c"));
  });

  test("refuses, naming the later change, where that wrote the same place", () => {
    const states = historyOf(start, [route(50, 50)], [route(20, 80)]);
    expect(revert(states, 2).refused).toContain(
      "Route/shop/catalog spec.rules[0].backends[0].weight was changed again, last by alice at revision 3: revert that first",
    );
  });

  test("refuses what would leave others' documents without what they need, and says whose", () => {
    const states = historyOf([service("shop/web")], [service("shop/catalog", ["v1", "v2"])], [route(90, 10)]);
    expect(revert(states, 2).refused).toContain("(as alice has it since revision 3)");
  });

  test("refuses where there is nothing to undo", () => {
    expect(revert(historyOf(start, [route(50, 50)], [route(90, 10)]), 2).refused).toContain(
      "nothing of revision 2 is in force any more",
    );
    expect(revert(historyOf(start), 9).refused).toContain("there is no revision 9 yet");
    const elsewhere = historyOf(start);
    const last = elsewhere.at(-1) ?? INITIAL_STATE;
    elsewhere.push(applied(last, "bank", service("bank/vault")));
    expect(revert(elsewhere, 2).refused).toContain("revision 2 changed no document of shop");
  });

  test("a revert can be reverted", () => {
    const states = historyOf(start, [route(50, 50)]);
    const { next } = revert(states, 2);
    if (next === undefined) throw new Error("refused");
    const back = revert([...states, next], 3);
    expect(back.next && contents(back.next)).toEqual(contents(states[2] ?? INITIAL_STATE));
  });

  test("is decided only with the states that it is about", () => {
    expect(() =>
      decide(historyOf(start)[1] ?? INITIAL_STATE, { namespace: "shop", body: { kind: "revert", revision: 1 } }),
    ).toThrow(TypeError);
  });
});
