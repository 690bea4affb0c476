/** What no compiler or linter sees: who imports whom, what is dead, what is too big, what documents claim. */

import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { deadExports, deadFiles } from "./dead-code.ts";
import { documentPaths, filesInSection, missingPaths, readDocument, strayFiles } from "./documents.ts";
import { forbiddenImports } from "./import-rules.ts";
import { oversized, type SizeLimits } from "./size.ts";
import { ROOT, readSources } from "./source-tree.ts";
import { bannedWords } from "./wording.ts";

const sources = readSources("src", "test", "bench", "examples");
const files = [...sources.values()];
const product = files.filter(({ path }) => path.startsWith("src/"));

/** What is started by name. Each bench is run by itself. */
const entryPoints = ["src/cli/main.ts", ...[...sources.keys()].filter((path) => /^(?:bench|examples)\//.test(path))];

/** Alive for their tests only, on purpose. */
const KEPT_FILES: Readonly<Record<string, string>> = {
  "src/events/memory-log.ts":
    "the event log's contract in its plainest form, for tests that need a ledger and no server",
};

const LIMITS = { fileLinesMax: 400, functionLinesMax: 80 };
/** Tables of cases are long and still easy to read. */
const TEST_LIMITS = { fileLinesMax: 400, functionLinesMax: 300 };
function limitsFor(path: string): SizeLimits {
  if (path.startsWith("test/")) return TEST_LIMITS;
  return LIMITS;
}

describe("source", () => {
  test("imports go one way", () => {
    expect(product.flatMap(forbiddenImports)).toEqual([]);
  });

  test("no file is dead", () => {
    expect(deadFiles(sources, entryPoints, KEPT_FILES)).toEqual([]);
  });

  test("no export is dead", () => {
    expect(deadExports(sources)).toEqual([]);
  });

  test("no banned word stands in it", () => {
    expect(files.flatMap(bannedWords)).toEqual([]);
  });

  test("files and functions fit a reader", () => {
    expect(files.flatMap((file) => oversized(file, limitsFor(file.path)))).toEqual([]);
  });
});

describe("documents", () => {
  test("name only files that exist", () => {
    expect(documentPaths().flatMap((path) => missingPaths(path, readDocument(path)))).toEqual([]);
  });

  test("ARCHITECTURE.md names every folder of src/", () => {
    const text = readDocument("ARCHITECTURE.md");
    const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => `src/${name}/`).filter((folder) => !text.includes(`\`${folder}\``))).toEqual([]);
  });

  test.each(["The path of a change", "The path of a request"])("ARCHITECTURE.md: %s can be walked", (heading) => {
    const walk = filesInSection(readDocument("ARCHITECTURE.md"), heading);
    expect(walk.length).toBeGreaterThan(5);
    expect(walk.filter((path) => !sources.has(path))).toEqual([]);
    expect(strayFiles(walk, sources)).toEqual([]);
  });

  test("decision records are numbered without gaps and say what a record must", () => {
    const records = documentPaths().filter((path) => path.startsWith("docs/decisions/"));
    expect(records.map((path) => path.slice("docs/decisions/".length, -3).split("-")[0])).toEqual(
      records.map((_, index) => String(index + 1).padStart(4, "0")),
    );
    const headings = ["Status", "Context", "Decision", "Consequences"];
    const missing = records.flatMap((path) => {
      const text = readDocument(path);
      return headings.filter((heading) => !text.includes(`\n## ${heading}\n`)).map((heading) => `${path}: ${heading}`);
    });
    expect(missing).toEqual([]);
  });
});
