import { expect, test } from "bun:test";
import { checkAccessPaths, checkMatchedPaths } from "../../src/policy/check-paths.ts";
import { normalisePath } from "../../src/proxy/route/path.ts";

test.each([
  ["/admin?all=1", "without their query"],
  ["/a?b/*", "without their query"],
  ["/a#b", "no request has a #"],
  ["/a\\b", "no request has a #"],
  ["/a//b", "slashes in a row"],
  ["/a/./b", "dot segments"],
  ["/a/..", "dot segments"],
  ["/%zz", "escape"],
  ["/50%", "escape"],
  ["/a%00", "escape"],
  ["/\n", "control character"],
  ["/\u001b[31m", "control character"],
])("%j is warned of, wherever it stands", (path, message) => {
  const warned = [expect.objectContaining({ message: expect.stringContaining(message) })];
  expect(checkAccessPaths({ paths: [path] }, [])).toEqual(warned);
  expect(checkAccessPaths({ notPaths: ["/fine", path] }, ["deny"])).toEqual([
    { path: ["deny", "notPaths", 1], message: expect.stringContaining(message) },
  ]);
  expect(checkMatchedPaths([{ path: { exact: path } }], [])).toEqual(warned);
  expect(checkMatchedPaths([{}, { path: { prefix: path } }], ["match"])).toEqual([
    { path: ["match", 1, "path", "prefix"], message: expect.stringContaining(message) },
  ]);
  expect(checkMatchedPaths([{ path: { template: path } }], [])).toEqual(warned);
  // The warning is right: no request has this path as sidecars compare it.
  const target = normalisePath(path);
  expect(target).not.toEqual({ ok: true, value: path.split("?", 1)[0] ?? "" });
});

test.each([
  "/",
  "/a/",
  "/café",
  "/a b",
  "/a/*",
  "/**/health",
  "/files/*.json",
  "/users/{id}",
  "/...",
  "/.well-known",
  "/%2Fa",
])("%s is fine", (path) => {
  expect(checkAccessPaths({ paths: [path], notPaths: [path] }, [])).toEqual([]);
  expect(checkMatchedPaths([{ path: { exact: path } }, { path: { regex: "/a?b" } }], [])).toEqual([]);
});
