/** The tidy rules themselves: each finds what it is there for, and leaves the rest alone. */

import { describe, expect, test } from "bun:test";
import { deadExports, deadFiles } from "./dead-code.ts";
import { filesInSection, missingPaths, strayFiles } from "./documents.ts";
import { forbiddenImports } from "./import-rules.ts";
import { oversized } from "./size.ts";
import { parseSource, type SourceFile } from "./source-tree.ts";
import { bannedWords } from "./wording.ts";

function tree(texts: Readonly<Record<string, string>>): Map<string, SourceFile> {
  return new Map(Object.entries(texts).map(([path, text]) => [path, parseSource(path, text)]));
}

describe("imports", () => {
  test.each([
    ["src/events/a.ts", 'import { x } from "../policy/names.ts";', 0],
    ["src/policy/a.ts", 'import type { X } from "../events/state.ts";', 1],
    ["src/policy/a.ts", 'import {\n  type X,\n  y,\n} from "../events/state.ts";', 1],
    ["src/policy/a.ts", 'export { y } from "../events/state.ts";', 1],
    ["src/proxy/a.ts", 'const x = await import("../events/evolve.ts");', 1],
    ["src/proxy/a.ts", 'import { x } from "../projections/runner.ts";', 1],
    ["src/proxy/a.ts", 'import { x } from "../projections/snapshot.ts";', 0],
    ["src/replay/a.ts", 'import { x } from "../proxy/route/path.ts";', 0],
    ["src/replay/a.ts", 'import { x } from "../proxy/io/wire.ts";', 1],
    ["src/control/a.ts", 'import { x } from "../cli/main.ts";', 1],
    ["src/control/a.ts", 'import { connect } from "nats";', 1],
    ["src/nats/a.ts", 'import { fromSeed } from "@nats-io/nkeys";', 0],
    ["src/ca/a.ts", 'import "@peculiar/x509";', 1],
    ["src/policy/a.ts", 'import { readFile } from "node:fs/promises";', 1],
    ["src/policy/a.ts", 'import leftPad from "left-pad";', 1],
    ["src/attic/a.ts", 'import { x } from "../policy/names.ts";', 1],
  ])("in %s: %s", (path, text, complaints) => {
    expect(forbiddenImports(parseSource(path, text))).toHaveLength(complaints);
  });
});

describe("dead code", () => {
  const sources = tree({
    "src/cli/main.ts": 'const load = () => import("./up.ts");',
    "src/cli/up.ts": 'import { used } from "../a.ts";\nexport const run = used;',
    "src/a.ts": "export interface Shape { x: number }\nexport function used(shape: Shape) {}\nexport const unused = 1;",
    "src/b.ts": "export const tested = 1;",
    "test/b.test.ts": 'import { tested } from "../src/b.ts";',
  });

  test("a file that only its test imports is dead", () => {
    expect(deadFiles(sources, ["src/cli/main.ts"], {})).toEqual(["src/b.ts: nothing that runs imports it"]);
  });

  test("keeping a file that is alive is a mistake", () => {
    expect(deadFiles(sources, ["src/cli/main.ts"], { "src/b.ts": "why", "src/a.ts": "why" })).toHaveLength(1);
  });

  test("an export is dead when nobody takes it, and a type is not when its file uses it", () => {
    expect(deadExports(sources)).toEqual(["src/a.ts: exports unused, which no other file imports"]);
  });
});

describe("words", () => {
  test.each([
    ["src/policy/string-utils.ts", "", 1],
    ["src/helpers/names.ts", "", 1],
    ["src/policy/camelCase.ts", "", 1],
    ["src/policy/names.ts", `export class Pool${"Manager"} {}`, 1],
    ["src/policy/names.ts", `// ${"TO"}${"DO"} later`, 1],
    ["src/policy/names.ts", `// @ts-${"ignore"}`, 1],
    ["src/policy/names.ts", 'console.log("x");', 1],
    ["src/cli/log.ts", 'console.log("x");', 0],
    ["src/policy/names.ts", "const methodology = manager;", 0],
  ])("in %s: %s", (path, text, complaints) => {
    expect(bannedWords(parseSource(path, text))).toHaveLength(complaints);
  });
});

describe("sizes", () => {
  const body = "  work();\n".repeat(5);
  const limits = { fileLinesMax: 100, functionLinesMax: 6 };

  test.each([
    ["a function", 7, `export async function f(): Promise<void> {\n${body}}\n`],
    ["a broken parameter list", 9, `function f(\n  a: A,\n): void {\n${body}}\n`],
    ["a method", 7, `class A {\n  #f<T>(a: T): void {\n${body.replaceAll("  ", "    ")}  }\n}\n`],
    ["an arrow function", 7, `const f = (): void => {\n${body}};\n`],
  ])("measures %s", (_, lines, text) => {
    const [complaint = "", ...more] = oversized(parseSource("src/a.ts", text), limits);
    expect(complaint).toContain(`a function of ${lines} lines`);
    expect(more).toEqual([]);
  });

  test("measures files", () => {
    expect(oversized(parseSource("src/a.ts", "a;\n".repeat(101)), limits)).toEqual([
      "src/a.ts: 101 lines; at most 100",
    ]);
  });

  test("takes no loop for a function", () => {
    expect(oversized(parseSource("src/a.ts", `  for (const a of b) {\n${body}${body}  }\n`), limits)).toEqual([]);
  });
});

describe("documents", () => {
  test("a path in backticks or in a link must exist", () => {
    const text =
      "`src/policy/names.ts` `src/policy/nowhere.ts` `src/*/x.ts` `nats` [a](nowhere.md) [b](https://x.test/)";
    expect(missingPaths("README.md", text)).toEqual([
      "README.md: names src/policy/nowhere.ts, which does not exist",
      "README.md: names nowhere.md, which does not exist",
    ]);
  });

  test("a walk is what one section names", () => {
    const text = "# A\n\n## One\n\n1. `src/a.ts`, `src/b/`\n2. `src/a.ts`\n3. `src/c.ts`\n\n## Two\n\n`src/d.ts`\n";
    expect(filesInSection(text, "One")).toEqual(["src/a.ts", "src/c.ts"]);
    expect(filesInSection(text, "Three")).toEqual([]);
  });

  test("a walk holds together by imports", () => {
    const sources = tree({
      "src/a.ts": 'import "./b.ts";',
      "src/b.ts": "",
      "src/c.ts": 'import "./d.ts";',
      "src/d.ts": "",
    });
    expect(strayFiles(["src/b.ts", "src/a.ts"], sources)).toEqual([]);
    expect(strayFiles(["src/a.ts", "src/b.ts", "src/c.ts"], sources)).toEqual(["src/c.ts"]);
  });
});
