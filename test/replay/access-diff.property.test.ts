/** That only those who may call at all are looked at takes nothing from the comparison. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { evolve } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { parseServiceRef } from "../../src/policy/names.ts";
import { declaredServices, type ServiceName } from "../../src/projections/call-graph.ts";
import { accessDiff } from "../../src/replay/access-diff.ts";
import { CallJudge } from "../../src/replay/call.ts";
import { callSets, probesOf } from "../../src/replay/probes.ts";
import { eventsOfSteps, type Step, steps } from "../support/random-history.ts";

function stateAfter(before: MeshState, history: readonly Step[][]): MeshState {
  let state = before;
  for (const list of history) {
    const origin = { revision: state.revision + 1, actor: "ada", time: "2026-03-01T12:00:00.000Z" };
    for (const event of eventsOfSteps(state, list)) state = evolve(state, event, origin);
  }
  return state;
}

function named(ref: string): ServiceName {
  const service = parseServiceRef(ref);
  if (service === undefined) throw new Error(`not a service: ${ref}`);
  return service;
}

/** Every pair of services between which some call fares otherwise, found by asking for each pair. */
function differingPairs(before: MeshState, after: MeshState): string[] {
  const [was, is] = [new CallJudge(before), new CallJudge(after)];
  const all = [...declaredServices(before).union(declaredServices(after))].sort();
  return all.flatMap((service) => {
    const destination = named(service);
    const rules = [was, is].flatMap((judge) => judge.inbound(destination).snapshot.inbound.access);
    return all
      .filter((caller) => {
        const differs = callSets(probesOf(rules), (method, target, { headers, facts }) => {
          const [earlier, later] = [was, is].map((judge) =>
            judge.accessOf(named(caller), destination, { method, target, headers, facts }),
          );
          return (earlier?.allowed === true) !== (later?.allowed === true);
        });
        return differs.length > 0;
      })
      .map((caller) => `${caller} → ${service}`);
  });
}

test("for any two states, the pairs of services whose calls differ are those that asking for each pair finds", () => {
  let differing = 0;
  const histories = fc.array(steps, { minLength: 20, maxLength: 60 });
  fc.assert(
    fc.property(histories, fc.array(steps, { minLength: 1, maxLength: 20 }), (history, more) => {
      const before = stateAfter(INITIAL_STATE, history);
      const after = stateAfter(before, more);
      const told = accessDiff(before, after).filter(({ caller }) => parseServiceRef(caller) !== undefined);
      const pairs = differingPairs(before, after);
      expect([...new Set(told.map(({ caller, service }) => `${caller} → ${service}`))].sort()).toEqual(pairs.sort());
      differing += pairs.length;
    }),
    { numRuns: 300 },
  );
  expect(differing).toBeGreaterThan(50);
});
