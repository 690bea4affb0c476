import { describe, expect, test } from "bun:test";
import type { DocumentKey } from "../../src/policy/names.ts";
import { formatPath } from "../../src/policy/problems.ts";
import { blameDocuments } from "../../src/replay/blame.ts";
import { TestLedger } from "../support/ledger.ts";
import { ledger } from "./ledger.ts";

const ROUTE: DocumentKey = "Route/shop/catalog";

async function blame(changes: TestLedger["changes"], key: DocumentKey) {
  const found = (await blameDocuments(changes, [key])).get(key);
  if (found === undefined) throw new Error("every key that is asked for is answered");
  return found;
}

const service = (name: string) => `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 80, protocol: http }], subsets: { v1: { version: v1 }, v2: { version: v2 } } }
---`;
const policy = (...rules: string[]) => `
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: front }
spec:
  service: catalog
  rules:
${rules.map((rule) => `    - ${rule}`).join("\n")}
`;
const allow = (...from: string[]) => `allow: { from: [${from.join(", ")}] }`;

describe("blame", () => {
  test("names for each field the change that put it there", async () => {
    const { changes } = await ledger();
    const { fields } = (await blameDocuments(changes.slice(0, 5), [ROUTE])).get(ROUTE) ?? { fields: [] };
    expect(fields.map(({ path, value, by }) => [formatPath(path), value, by.revision, by.actor, by.reason])).toEqual([
      ["service", "catalog", 3, "alice", "launch"],
      ["rules[0].backends[0].subset", "v1", 3, "alice", "launch"],
      ["rules[0].backends[0].weight", 50, 5, "alice", "canary looks good"],
      ["rules[0].backends[1].subset", "v2", 3, "alice", "launch"],
      ["rules[0].backends[1].weight", 50, 5, "alice", "canary looks good"],
    ]);
  });

  test("a value that comes back is by whoever brought it back", async () => {
    const { changes } = await ledger();
    const found = (await blameDocuments(changes, [ROUTE])).get(ROUTE);
    expect(found?.at(["rules", 0, "backends", 0, "weight"])).toMatchObject({ revision: 8, reason: "errors" });
    expect(found?.at(["rules", 0])?.revision).toBe(8);
    expect(found?.at(["service"])?.revision).toBe(3);
    expect(found?.at(["rules", 7])).toBeUndefined();
  });

  test("rules keep their authors when others come before them", async () => {
    const history = new TestLedger();
    history.apply(`${service("catalog")}${policy(allow("shop/a"), allow("shop/b"))}`, "ada");
    history.apply(policy(allow("shop/z"), allow("shop/a"), allow("shop/b", "shop/c")), "bob");
    const { fields } = await blame(history.changes, "AccessPolicy/shop/front");
    expect(fields.map(({ path, value, by }) => `${formatPath(path)} ${value} ${by.actor}`)).toEqual([
      "service catalog ada",
      "rules[0].allow.from shop/z bob",
      "rules[1].allow.from shop/a ada",
      // A list that two have written is told item by item.
      "rules[2].allow.from[0] shop/b ada",
      "rules[2].allow.from[1] shop/c bob",
    ]);
  });

  test("says who took a document away, and forgets that when it comes back", async () => {
    const history = new TestLedger();
    history.apply(service("web"));
    history.command("shop", { kind: "delete", keys: ["Service/shop/web"] }, "bob");
    const gone = await blame(history.changes, "Service/shop/web");
    expect(gone).toMatchObject({ fields: [], removed: { revision: 2, actor: "bob" } });
    history.apply(service("web"), "eve");
    const back = await blame(history.changes, "Service/shop/web");
    expect(back.removed).toBeUndefined();
    expect(new Set(back.fields.map(({ by }) => by.actor))).toEqual(new Set(["eve"]));
  });

  test("a document that never was has neither fields nor anybody who removed it", async () => {
    expect(await blame([], "Service/shop/web")).toMatchObject({ fields: [], removed: undefined });
  });
});
