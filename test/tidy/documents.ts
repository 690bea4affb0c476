/** Documents and what they claim about files. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, type SourceFile } from "./source-tree.ts";

/** The documents of the project: those at its root, and all under docs/. */
export function documentPaths(): string[] {
  const globs = [new Bun.Glob("*.md"), new Bun.Glob("docs/**/*.md")];
  return globs.flatMap((glob) => [...glob.scanSync({ cwd: ROOT })]).sort();
}

export function readDocument(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Paths in backticks, without anything behind them; patterns and placeholders are no paths. */
const QUOTED_PATH = /`((?:src|test|bench|docs|examples|bin|\.ci)\/[^`\s]*)`/g;
const LINK = /\]\(([^)#\s]+)[^)]*\)/g;

/** One sentence for each path that the document names and that does not exist. */
export function missingPaths(path: string, text: string): string[] {
  const quoted = [...text.matchAll(QUOTED_PATH)].map(([, target = ""]) => target).filter((it) => !/[*<{…]/.test(it));
  const linked = [...text.matchAll(LINK)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => join(path, "..", target));
  return [...new Set([...quoted, ...linked])]
    .filter((target) => !existsSync(join(ROOT, target)))
    .map((target) => `${path}: names ${target}, which does not exist`);
}

/** Files of src/ named in backticks in the section under a heading, in order, each once. Empty: no such section. */
export function filesInSection(text: string, heading: string): string[] {
  const start = text.indexOf(`\n## ${heading}\n`);
  if (start < 0) return [];
  const end = text.indexOf("\n## ", start + 1);
  const section = text.slice(start, end < 0 ? undefined : end);
  const paths = [...section.matchAll(QUOTED_PATH)].map(([, path = ""]) => path);
  return [...new Set(paths)].filter((path) => /^src\/.*\.ts$/.test(path));
}

/**
 * Files of a walk that no chain of imports within the walk joins to its first file. In a walk that a reader can follow
 * without searching, every file is imported by another one on it, or imports one.
 */
export function strayFiles(walk: readonly string[], sources: ReadonlyMap<string, SourceFile>): string[] {
  const onWalk = new Set(walk);
  const neighbours = new Map<string, Set<string>>(walk.map((path) => [path, new Set()]));
  for (const path of walk) {
    for (const { target } of sources.get(path)?.imports ?? []) {
      if (!onWalk.has(target)) continue;
      neighbours.get(path)?.add(target);
      neighbours.get(target)?.add(path);
    }
  }
  const met = new Set<string>();
  const open = walk.slice(0, 1);
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (met.has(path)) continue;
    met.add(path);
    open.push(...(neighbours.get(path) ?? []));
  }
  return walk.filter((path) => !met.has(path));
}
