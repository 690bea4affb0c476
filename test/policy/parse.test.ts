import { describe, expect, test } from "bun:test";
import { checkDocuments, EMPTY_MESH } from "../../src/policy/check.ts";
import { notEnforced } from "../../src/policy/enforcement.ts";
import { lintAlone, lintDocuments } from "../../src/policy/lint.ts";
import { type LocatedDocument, parsePolicy, readPolicy } from "../../src/policy/parse.ts";
import { formatProblem } from "../../src/policy/problems.ts";
import { renderDocuments } from "../../src/policy/render.ts";

function parse(text: string): LocatedDocument[] {
  const result = parsePolicy([{ file: "f", text }]);
  if (!result.ok) throw new Error(result.error.map(formatProblem).join("\n"));
  return result.value;
}

const specOf = (text: string): unknown => parse(text)[0]?.document.spec;

const service = (spec: string): string =>
  `apiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: shop, name: x }\nspec:\n  ${spec}\n`;
const route = (...rules: string[]): string =>
  `apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: shop, name: x }\nspec:\n  service: x\n  rules:\n${rules.map((rule) => `    - ${rule}\n`).join("")}`;

describe("the shop example", async () => {
  const shop = await Bun.file(new URL("../../examples/shop/policy.yaml", import.meta.url)).text();
  const golden = (name: string): Promise<string> => Bun.file(new URL(`golden/${name}`, import.meta.url)).text();

  test("parses to the golden documents", async () => {
    expect(
      `${JSON.stringify(
        parse(shop).map(({ document }) => document),
        null,
        2,
      )}\n`,
    ).toBe(await golden("shop.json"));
  });

  test("renders to the golden text", async () => {
    expect(renderDocuments(parse(shop).map(({ document }) => document))).toBe(await golden("shop.yaml"));
  });

  test("has nothing to complain about", () => {
    expect(lintDocuments(parse(shop), EMPTY_MESH)).toEqual({ errors: [], warnings: [] });
  });

  test("is enforced whole", () => {
    expect(notEnforced(parse(shop).map(({ document }) => document))).toEqual([]);
  });
});

describe("YAML 1.2", () => {
  test("on, yes and no are text, as names and as values", () => {
    const rule = "{ match: [{ headers: { on: { exact: yes } } }], retries: { attempts: 1, on: [reset] } }";
    expect(specOf(route(rule))).toEqual({
      service: "x",
      rules: [{ match: [{ headers: { on: { exact: "yes" } } }], retries: { attempts: 1, on: ["reset"] } }],
    });
  });

  test("even under a %YAML 1.1 directive", () => {
    const rule = "match: [{ headers: { a: { exact: no } } }]";
    expect(specOf(`%YAML 1.1\n---\n${route(rule)}`)).toEqual({
      service: "x",
      rules: [{ match: [{ headers: { a: { exact: "no" } } }] }],
    });
  });

  test("numbers in octal and hexadecimal", () => {
    expect(specOf(service("ports: [{ port: 0x50, protocol: http }, { port: 0o17, protocol: tcp }]"))).toEqual({
      ports: [
        { port: 80, protocol: "http" },
        { port: 15, protocol: "tcp" },
      ],
    });
  });

  test("aliases stand for whole values, and the latest anchor of a name counts", () => {
    const rules = [
      "{ timeout: &t 1s, retries: &r { attempts: 1 } }",
      "{ timeout: *t, retries: *r }",
      "{ timeout: &t 2s }",
      "timeout: *t",
    ];
    expect(specOf(route(...rules))).toEqual({
      service: "x",
      rules: [
        { timeout: "1s", retries: { attempts: 1 } },
        { timeout: "1s", retries: { attempts: 1 } },
        { timeout: "2s" },
        { timeout: "2s" },
      ],
    });
  });

  test("names of Object.prototype are names like others", () => {
    const text = service("{ ports: [{ port: 80, protocol: http }], subsets: { constructor: { toString: x, 7: y } } }");
    expect(specOf(text)).toEqual({
      ports: [{ port: 80, protocol: "http" }],
      subsets: { constructor: { toString: "x", "7": "y" } },
    });
    expect(Object.getPrototypeOf({})).not.toHaveProperty("x");
  });

  test("durations and header names come out canonical", () => {
    expect(specOf(route("{ match: [{ headers: { X-User: { present: true } } }], timeout: 60s }"))).toEqual({
      service: "x",
      rules: [{ match: [{ headers: { "x-user": { present: true } } }], timeout: "1m" }],
    });
  });

  test.each(["", "\n", "# only a comment\n", "---\n---\n", "---\n...\n", "null"])("%j holds no document", (text) => {
    expect(parse(text)).toEqual([]);
  });

  test("carriage returns and a byte order mark do not matter", () => {
    const text = `\uFEFF${service("ports: [{ port: 80, protocol: http }]")}---\n${route("timeout: 1s")}`;
    expect(parse(text.replaceAll("\n", "\r\n")).map(({ key }) => key)).toEqual(["Service/shop/x", "Route/shop/x"]);
  });
});

describe("JSON", () => {
  const documents = parse(`${service("ports: [{ port: 80, protocol: http }]")}---\n${route("timeout: 1s")}`).map(
    ({ document }) => document,
  );

  test.each([
    ["a list", JSON.stringify(documents)],
    ["an indented list", JSON.stringify(documents, null, "\t")],
    ["one document per line", documents.map((document) => JSON.stringify(document)).join("\n")],
    ["documents one after another", documents.map((document) => JSON.stringify(document, null, 2)).join("\r\n\r\n")],
  ])("%s", (_, text) => {
    expect(parse(text).map(({ document }) => document)).toEqual(documents);
  });

  test("keeps lines in documents one after another", () => {
    const text = documents.map((document) => JSON.stringify(document, null, 2)).join("\n");
    const line = text.split("\n").findIndex((content) => content.includes('"1s"')) + 1;
    expect(parse(text)[1]?.locate(["spec", "rules", 0, "timeout"])).toEqual({ line, column: 20 });
  });
});

describe("positions", () => {
  const [located] = parse(
    `# first\n${route("match:\n        - path: { exact: /a }\n      timeout: &t 1s", "timeout: *t")}`,
  );

  test.each([
    [[], 2, 1],
    [["kind"], 3, 7],
    [["spec", "rules"], 7, 3],
    [["spec", "rules", 0], 8, 7],
    [["spec", "rules", 0, "match"], 8, 7],
    [["spec", "rules", 0, "match", 0, "path", "exact"], 9, 26],
    [["spec", "rules", 0, "timeout"], 10, 19],
    [["spec", "rules", 1, "timeout"], 11, 16],
    // What is not there is looked for where it would stand.
    [["spec", "rules", 0, "retries", "attempts"], 8, 7],
    [["spec", "rules", 9], 7, 3],
  ])("of %j", (path, line, column) => {
    expect(located?.locate(path)).toEqual({ line, column });
  });
});

test("lint gives findings their places, file by file and top to bottom", () => {
  const result = parsePolicy([
    { file: "z", text: route("{ backends: [{ subset: v2 }, { subset: v1, weight: 1 }] }", "timeout: 1s") },
    {
      file: "a",
      text: service("{ ports: [{ port: 80, protocol: http }, { port: 80, protocol: tcp }], subsets: { v1: {} } }"),
    },
  ]);
  if (!result.ok) throw new Error("does not parse");
  const { errors, warnings } = lintDocuments(result.value, EMPTY_MESH);
  expect(errors.map(formatProblem)).toEqual([
    "z:7:30 spec.rules[0].backends[0].subset: there is no subset v2; there are: v1",
    "a:5:51 spec.ports[1].port: port 80 is listed twice",
  ]);
  expect(warnings.map(formatProblem)).toEqual([
    "z:7:20 spec.rules[0].backends[0]: has no weight and counts as 1 beside backends that have one; give each a weight",
    "z:8:7 spec.rules[1]: is never reached: rules[0] already takes every request",
  ]);
  const plain = checkDocuments(
    result.value.map(({ document }) => document),
    EMPTY_MESH,
  );
  expect(errors.map(({ message }) => message)).toEqual(plain.errors.map(({ message }) => message));
});

test("what a valid document has wrong of its own is said beside what is wrong with another", () => {
  const route = (backends: string): string =>
    `apiVersion: heddle/v1\nkind: Route\nmetadata: { namespace: shop, name: x }\nspec: { service: elsewhere, rules: [{ backends: [${backends}] }] }\n`;
  const broken =
    "---\napiVersion: heddle/v1\nkind: Service\nmetadata: { namespace: shop, name: elsewhere }\nspec: {}\n";
  const said = (text: string): string[] => {
    const { documents, problems } = readPolicy([{ file: "a.yaml", text }]);
    return [...problems, ...lintAlone(documents)].map(({ line, path }) => `${line} ${path}`);
  };
  expect(said(route("{ weight: 0 }") + broken)).toEqual(["9 spec.ports", "4 spec.rules[0].backends"]);
  expect(said(route("{ weight: 1 }") + broken)).toEqual(["9 spec.ports"]);
});

test("all that is accepted is enforced, modes other than strict included", () => {
  const text = `apiVersion: heddle/v1\nkind: Mesh\nmetadata: { name: default }\nspec: { trustDomain: a, mtls: permissive }\n---\n${service("ports: [{ port: 80, protocol: http }, { port: 81, protocol: tcp }]")}`;
  expect(notEnforced(parse(text).map(({ document }) => document))).toEqual([]);
});
