import { expect, test } from "bun:test";
import fc from "fast-check";
import { evolve } from "../../src/events/evolve.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { parseServiceRef } from "../../src/policy/names.ts";
import { declaredServices } from "../../src/projections/call-graph.ts";
import { closedSnapshot, compileCalledSide, compileSnapshot } from "../../src/projections/compile-snapshot.ts";
import { eventsOfSteps, steps } from "../support/random-history.ts";

test("for any history, the called side by itself is what the whole snapshot says of it", () => {
  let compared = 0;
  let withRevocations = 0;
  fc.assert(
    fc.property(fc.array(steps, { minLength: 5, maxLength: 30 }), (history) => {
      let state = INITIAL_STATE;
      for (const list of history) {
        const origin = { revision: state.revision + 1, actor: "ada", time: "2026-03-01T12:00:00.000Z" };
        for (const event of eventsOfSteps(state, list)) state = evolve(state, event, origin);
      }
      for (const ref of [...declaredServices(state), "shop/never-declared"]) {
        const service = parseServiceRef(ref);
        if (service === undefined) throw new Error(`not a service: ${ref}`);
        const { inbound, revocations } = compileSnapshot(state, service) ?? closedSnapshot(state, service);
        const called = compileCalledSide(state, service);
        expect({ inbound: called.inbound, revocations: called.revocations }).toEqual({ inbound, revocations });
        compared += 1;
        if (revocations !== undefined) withRevocations += 1;
      }
    }),
    { numRuns: 150 },
  );
  expect(compared).toBeGreaterThan(300);
  expect(withRevocations).toBeGreaterThan(20);
});
