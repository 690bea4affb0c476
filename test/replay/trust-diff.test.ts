import { expect, test } from "bun:test";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { evolve } from "../../src/events/evolve.ts";
import { INITIAL_STATE, type MeshState } from "../../src/events/state.ts";
import { standingLines } from "../../src/replay/administrative-diff.ts";
import { diffStates } from "../../src/replay/diff.ts";

const TIME = "2026-03-01T12:00:00Z";
const ORDERS = { namespace: "shop", service: "orders" } as const;
const SERIAL = "4f74ab7bc5241edd282d69bcbcd7c79f";

/** The states after each of the events, which are revisions of their own; the first is before all of them. */
function statesAfter(...events: readonly DomainEvent[]): MeshState[] {
  const states = [INITIAL_STATE];
  events.forEach((event, index) => {
    const origin = { revision: index + 1, actor: "ada", time: TIME };
    states.push({ ...evolve(states[index] ?? INITIAL_STATE, event, origin), revision: index + 1 });
  });
  return states;
}

function lines(before: MeshState | undefined, after: MeshState | undefined, namespace?: string): readonly string[] {
  if (before === undefined || after === undefined) throw new Error("there are fewer states");
  return diffStates(before, after, namespace === undefined ? {} : { namespace }).lines;
}

test("an identity that is revoked differs, in either direction, and in its namespace alone", () => {
  const [before, revoked, reinstated] = statesAfter(
    { type: "IdentityRevoked", ...ORDERS },
    { type: "IdentityReinstated", ...ORDERS },
  );
  expect(lines(before, revoked)).toEqual(["revoked the identity of shop/orders"]);
  expect(lines(before, revoked, "shop")).toEqual(["revoked the identity of shop/orders"]);
  expect(lines(before, revoked, "bank")).toEqual([]);
  expect(lines(revoked, before)).toEqual(["the identity of shop/orders had not been revoked"]);
  expect(lines(revoked, reinstated)).toEqual(["reinstated the identity of shop/orders"]);
  // Whoever was signed for before is still refused.
  expect(lines(before, reinstated)).toEqual([`certificates of shop/orders from before ${TIME} are refused`]);
});

test("so do single certificates and instances", () => {
  const [before, serial, instance, back] = statesAfter(
    { type: "IdentityRevoked", ...ORDERS, serial: SERIAL },
    { type: "IdentityRevoked", ...ORDERS, instance: "a" },
    { type: "IdentityReinstated", ...ORDERS, instance: "a" },
  );
  expect(lines(before, serial)).toEqual([`revoked the identity of shop/orders, certificate ${SERIAL}`]);
  expect(lines(serial, before)).toEqual([`the identity of shop/orders, certificate ${SERIAL} had not been revoked`]);
  expect(lines(serial, instance)).toEqual(["revoked the identity of shop/orders, instance a"]);
  expect(lines(instance, back)).toEqual(["reinstated the identity of shop/orders, instance a"]);
  expect(lines(serial, back)).toEqual([]);
});

test("so do other trust domains, and a change of roots that is under way", () => {
  const trustDomain = "partner.example";
  const [before, one, two, ended, rotating, paused] = statesAfter(
    { type: "FederationTrusted", trustDomain, roots: ["a"] },
    { type: "FederationTrusted", trustDomain, roots: ["a", "b"] },
    { type: "FederationEnded", trustDomain },
    { type: "RootRotationStarted", from: "ab".repeat(32) },
    { type: "RootRotationPaused" },
  );
  expect(lines(before, one)).toEqual(["trusts workloads of partner.example, by 1 root"]);
  expect(lines(one, two)).toEqual(["trusts workloads of partner.example, by 2 roots"]);
  expect(lines(two, ended)).toEqual(["no longer trusts workloads of partner.example"]);
  expect(lines(ended, rotating)).toEqual(["change of roots: none → abababababab is being replaced"]);
  expect(lines(rotating, paused)).toEqual([
    "change of roots: abababababab is being replaced → abababababab is being replaced, paused",
  ]);
});

test("a way back leaves them as they are", () => {
  const operator = { name: "carol", publicKey: "UC" } as const;
  const [, before, , after] = statesAfter(
    { type: "OperatorAdded", ...operator, role: "editor", namespaces: ["shop"] },
    { type: "OperatorRevoked", ...operator },
    { type: "IdentityRevoked", ...ORDERS },
  );
  if (before === undefined || after === undefined) throw new Error("there are fewer states");
  const [shut, revoked] = ["revoked the operator carol", "revoked the identity of shop/orders"];
  expect(standingLines(before, after, undefined)).toEqual([shut, revoked]);
  expect(standingLines(before, after, "shop")).toEqual([revoked]);
});
