/** A ledger of eight changes, and what somebody who can write to its storage could make of it. */

import { encodeChange, recordedChange } from "../../src/events/chain.ts";
import { type Change, FIRST_PREVIOUS } from "../../src/events/change.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import type { DomainEvent } from "../../src/events/domain-events.ts";
import { service } from "../events/scenario.ts";
import { SignedLedger, type Signer, type Stored, signer } from "./signed-ledger.ts";

export const ada = signer("ada");
export const bob = signer("bob");
export const eve = signer("eve");

export const added = ({ name, publicKey }: Signer, role: "admin" | "editor", ...namespaces: string[]): DomainEvent => {
  return { type: "OperatorAdded", name, publicKey, role, namespaces };
};
export const grant = (from: string): CommandBody => ({
  kind: "access",
  service: { namespace: "shop", name: "web" },
  policy: "front",
  rule: { allow: { from: [from] } },
});
export const grantOf = (index: number, from: string): DomainEvent => {
  const rule = { allow: { from: [from] } };
  return { type: "AccessGranted", namespace: "shop", name: "front", service: "web", index, rule };
};

/** 1 mesh, 2 shop, 3 bank, 4 and 5 shop by bob, 6 bank, 7 shop, 8 bob is revoked. */
export function build(founder = ada): SignedLedger {
  const ledger = new SignedLedger();
  ledger.unsigned("_mesh", [
    added(founder, "admin"),
    added(bob, "editor", "shop"),
    { type: "MeshDeclared", spec: { trustDomain: "mesh.local" } },
  ]);
  ledger.command(founder, "shop", { kind: "apply", documents: [service("shop/web")] }, "open");
  ledger.command(founder, "bank", { kind: "apply", documents: [service("bank/vault")] });
  ledger.command(bob, "shop", grant("shop/orders"), "first");
  ledger.command(bob, "shop", grant("shop/catalog"), "second");
  ledger.command(founder, "bank", { kind: "apply", documents: [service("bank/teller")] });
  ledger.command(founder, "shop", grant("bank/teller"), "third");
  ledger.command(founder, "_mesh", { kind: "operator-revoke", name: "bob" });
  return ledger;
}

export const { stored } = build();

export const changeAt = (list: readonly Stored[], revision: number): Change => {
  const found = list.find((one) => one.revision === revision);
  if (found === undefined) throw new Error(`no revision ${revision}`);
  return recordedChange(found.bytes, revision).change;
};

/** One change written anew; what comes after it stays. */
export function edited(revision: number, edit: (change: Change) => Change, list: readonly Stored[] = stored): Stored[] {
  return list.map((one) => {
    return one.revision === revision ? { revision, bytes: encodeChange(edit(changeAt(list, revision))) } : one;
  });
}

export const withData = (change: Change, data: Partial<Change["data"]>): Change => ({
  ...change,
  data: { ...change.data, ...data },
});

/** Numbers from 1, and every change naming the one before it, as somebody who knows the format would leave it. */
export function rechained(list: readonly Stored[]): Stored[] {
  const heads = new Map<string, string>();
  return renumbered(list).map(({ revision, bytes }) => {
    const { change } = recordedChange(bytes, revision);
    const linked = encodeChange(withData(change, { previous: heads.get(change.subject) ?? FIRST_PREVIOUS }));
    heads.set(change.subject, recordedChange(linked, revision).hash);
    return { revision, bytes: linked };
  });
}

export function renumbered(list: readonly Stored[]): Stored[] {
  return list.map(({ bytes }, index) => ({ revision: index + 1, bytes }));
}

export const without = (...revisions: number[]): Stored[] =>
  stored.filter(({ revision }) => !revisions.includes(revision));

/** One more at the end, properly chained. */
export function appended(namespace: string, draft: Parameters<SignedLedger["append"]>[1]): Stored[] {
  const ledger = build();
  ledger.append(namespace, draft);
  return rechained([...stored, ...ledger.stored.slice(stored.length)]);
}

export function swapped(a: number, b: number): Stored[] {
  const list = [...stored];
  const [first, second] = [list[a - 1], list[b - 1]];
  if (first === undefined || second === undefined) throw new Error("no such revisions");
  list[a - 1] = second;
  list[b - 1] = first;
  return renumbered(list);
}
