import { describe, expect, test } from "bun:test";
import { commandsOf } from "../../src/cli/commands/apply.ts";
import { removalsOf } from "../../src/cli/commands/delete.ts";
import { explainAt, isAbout, parsePath } from "../../src/cli/mesh/policy-input.ts";
import { type LocatedDocument, parsePolicy } from "../../src/policy/parse.ts";
import { formatPath } from "../../src/policy/problems.ts";

const TEXT = `apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - backends: [{ subset: v1 }]
      timeout: 3s
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: bank, name: vault }
spec: { ports: [{ port: 80, protocol: http }] }
---
apiVersion: heddle/v1
kind: Mesh
metadata: { name: default }
spec: { trustDomain: mesh.local }
`;

function located(): LocatedDocument[] {
  const parsed = parsePolicy([{ file: "shop.yaml", text: TEXT }]);
  if (!parsed.ok) throw new Error("the sample is valid");
  return parsed.value;
}

describe("paths", () => {
  test.each([
    [[]],
    [["spec"]],
    [["spec", "rules", 0, "retries", "perTryTimeout"]],
    [["spec", "rules", 12, "match", 3, "headers", "x-user"]],
    [["spec", "subsets", 'odd "name".[0]', "a"]],
  ])("%j survives being written and read", (path) => {
    expect(parsePath(formatPath(path))).toEqual(path);
  });
});

describe("what the control plane refuses", () => {
  const explain = explainAt(located());

  test.each([
    ["Route/shop/catalog spec.rules[0].timeout", "shop.yaml:8:16 spec.rules[0].timeout: is bad"],
    ["Route/shop/catalog spec.rules[0].retries", "shop.yaml:7:7 spec.rules[0].retries: is bad"],
    ["Route/shop/catalog", "shop.yaml:1:1 is bad"],
    ["Service/bank/vault spec.ports[0].port", "shop.yaml:13:25 spec.ports[0].port: is bad"],
    ["Route/shop/other spec", "Route/shop/other spec: is bad"],
    ["namespace", "namespace: is bad"],
    ["", "is bad"],
  ])("%p stands at %s", (path, line) => {
    expect(explain({ path, message: "is bad" })).toBe(line);
  });

  test("reaches the terminal without control characters", () => {
    expect(explain({ path: "", message: "a\u001b[2Jb\u009b1m\u202ec" })).toBe("a\uFFFD[2Jb\uFFFD1m\uFFFDc");
  });

  test("is not repeated where the files' own checks have said it", () => {
    const keys = new Set(located().map(({ key }) => key));
    expect(isAbout("Route/shop/catalog spec.rules[0]: never reached", keys)).toBe(true);
    expect(isAbout("Route/shop/catalog: never reached", keys)).toBe(true);
    expect(isAbout("Route/shop/catalog-2: never reached", keys)).toBe(false);
    expect(isAbout("traffic is already split so", keys)).toBe(false);
  });
});

describe("commands", () => {
  test("are one per namespace, what is mesh-wide first", () => {
    expect(commandsOf(located()).map(({ namespace }) => namespace)).toEqual(["_mesh", "bank", "shop"]);
  });

  test("remove each document once", () => {
    expect(removalsOf(["Route/shop/a", "Service/bank/b", "Route/shop/a", "Route/shop/c"])).toEqual([
      { namespace: "bank", body: { kind: "delete", keys: ["Service/bank/b"] } },
      { namespace: "shop", body: { kind: "delete", keys: ["Route/shop/a", "Route/shop/c"] } },
    ]);
  });
});
