/** A proof that goes on from where an earlier one ended: what it says of the rest is what the whole proof says of it. */

import { expect, test } from "bun:test";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { commandMismatch, signatureState } from "../../src/events/signature.ts";
import { type ProvedPart, type Verification, verifyLedger } from "../../src/replay/verify.ts";
import { service } from "../events/scenario.ts";
import { entriesOf, SignedLedger, type Stored, signer, verifyStored } from "./signed-ledger.ts";

const ada = signer("ada");
const bob = signer("bob");
const eve = signer("eve");

/** 1 mesh, 2 shop, 3 bank, 4 shop by bob, 5 bob is revoked, 6 bank. */
function build(): SignedLedger {
  const ledger = new SignedLedger();
  const events: DomainEvent[] = [
    { type: "OperatorAdded", name: ada.name, publicKey: ada.publicKey, role: "admin", namespaces: [] },
    { type: "OperatorAdded", name: bob.name, publicKey: bob.publicKey, role: "editor", namespaces: ["shop"] },
    { type: "MeshDeclared", spec: { trustDomain: "mesh.local" } },
  ];
  ledger.unsigned("_mesh", events);
  ledger.command(ada, "shop", { kind: "apply", documents: [service("shop/web")] });
  ledger.command(ada, "bank", { kind: "apply", documents: [service("bank/vault")] });
  ledger.command(bob, "shop", { kind: "apply", documents: [service("shop/api")] });
  ledger.command(ada, "_mesh", { kind: "operator-revoke", name: "bob" });
  ledger.command(ada, "bank", { kind: "apply", documents: [service("bank/teller")] });
  return ledger;
}

function verifyTail(stored: readonly Stored[], proved: ProvedPart): Promise<Verification> {
  const tail = stored.filter(({ revision }) => revision > proved.mark.revision);
  return verifyLedger(entriesOf(tail), { signatureOf: signatureState, mismatchOf: commandMismatch, proved });
}

test("from wherever it goes on, it ends with what the whole proof ends with", async () => {
  const { stored } = build();
  const whole = await verifyStored(stored);
  expect(whole.problems).toEqual([]);
  for (let cut = 1; cut <= stored.length; cut++) {
    const before = await verifyStored(stored.slice(0, cut));
    const { problems, mark, heads, operators, changes, isRotating } = await verifyTail(stored, before);
    expect({ problems, mark, heads, operators, isRotating }).toEqual({
      problems: [],
      mark: whole.mark,
      heads: whole.heads,
      operators: whole.operators,
      isRotating: whole.isRotating,
    });
    expect(changes).toBe(stored.length - cut);
  }
});

test("what is wrong with the rest is found, and the operators of before are known", async () => {
  const before = await verifyStored(build().stored.slice(0, 3));
  const kinds = async (stored: readonly Stored[]) =>
    (await verifyTail(stored, before)).problems.map(({ kind, revision }) => `${kind} ${revision}`);
  const { stored } = build();
  expect(await kinds(stored.filter(({ revision }) => revision !== 4))).toEqual(["dropped 4"]);
  // The first of the rest names the one before it, which is noted and not read.
  const again = { revision: 4, bytes: stored[1]?.bytes ?? new Uint8Array() };
  expect(await kinds([...stored.slice(0, 3), again])).toEqual(["reordered 4"]);
  const strange = build();
  strange.command(eve, "shop", { kind: "apply", documents: [service("shop/evil")] });
  expect(await kinds(strange.stored)).toEqual(["stranger 7"]);
  const late = build();
  late.command(bob, "bank", { kind: "apply", documents: [service("bank/evil")] });
  expect(await kinds(late.stored)).toEqual(["stranger 7"]);
});
