import { expect, test } from "bun:test";
import { documentOfEvent } from "../../src/events/event-document.ts";
import { changesUndone } from "../../src/replay/rollback.ts";
import { ledger } from "./ledger.ts";

test("of later changes, those that touched what a rollback alters", async () => {
  const { changes } = await ledger();
  const later = changes.filter(({ revision }) => revision > 3);
  const undone = await changesUndone(later, new Set(["Route/shop/catalog", "Mesh/_mesh/default"]));
  expect(undone.map(({ recorded, keys }) => [recorded.revision, ...keys])).toEqual([
    [5, "Route/shop/catalog"],
    [7, "Mesh/_mesh/default"],
    [8, "Route/shop/catalog"],
  ]);
  expect(await changesUndone(later, new Set())).toEqual([]);
});

test("operators, roots and marks are no documents", () => {
  expect(documentOfEvent({ type: "RootActivated", fingerprint: "ab" })).toBeUndefined();
  expect(documentOfEvent({ type: "RolledBack", namespace: "shop", toRevision: 1 })).toBeUndefined();
  expect(documentOfEvent({ type: "ChangeReverted", namespace: "shop", revision: 1 })).toBeUndefined();
});
