import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EMPTY_MESH } from "../../src/policy/check.ts";
import { lintDocuments } from "../../src/policy/lint.ts";
import { parsePolicy } from "../../src/policy/parse.ts";

test("the example of access policy is accepted without a remark", async () => {
  const file = join(import.meta.dir, "../../examples/access/policy.yaml");
  const parsed = parsePolicy([{ file, text: await readFile(file, "utf8") }]);
  if (!parsed.ok) throw new Error(parsed.error.map(({ line, message }) => `${line}: ${message}`).join("\n"));
  expect(lintDocuments(parsed.value, EMPTY_MESH)).toEqual({ errors: [], warnings: [] });
});
