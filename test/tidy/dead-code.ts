/** Files that nothing runs, and exports that nobody takes. */

import { reachable, type SourceFile } from "./source-tree.ts";

/**
 * Files of src/ that neither an entry point nor a bench nor an example reaches. Tests do not count: code that only its
 * test runs is dead, however green. `kept` names those that are meant to be so, and why.
 */
export function deadFiles(
  sources: ReadonlyMap<string, SourceFile>,
  entryPoints: readonly string[],
  kept: Readonly<Record<string, string>>,
): string[] {
  const alive = reachable(sources, entryPoints);
  const dead = [...sources.keys()].filter((path) => path.startsWith("src/") && !alive.has(path));
  return [
    ...dead.filter((path) => kept[path] === undefined).map((path) => `${path}: nothing that runs imports it`),
    ...Object.keys(kept)
      .filter((path) => !dead.includes(path))
      .map((path) => `${path}: is alive or gone, and need not be kept any more`),
  ];
}

/**
 * Exported names that no other file imports. A type is also alive when its own file uses it: then it is part of the
 * signature of something else that is exported, and a caller may want to write it down; or it is an error that the file
 * throws, and callers may want to tell it from others.
 */
export function deadExports(sources: ReadonlyMap<string, SourceFile>): string[] {
  const taken = new Map<string, Set<string>>();
  for (const { imports } of sources.values()) {
    for (const { local, target, names } of imports) {
      if (!local) continue;
      const known = taken.get(target) ?? new Set();
      for (const name of names) known.add(name);
      taken.set(target, known);
    }
  }
  const complaints: string[] = [];
  for (const { path, text, exports } of sources.values()) {
    if (!path.startsWith("src/")) continue;
    const known = taken.get(path) ?? new Set();
    if (known.has("*")) continue;
    for (const { name, kind } of exports) {
      if (known.has(name) || (kind === "type" && occurrences(text, name) > 1)) continue;
      complaints.push(`${path}: exports ${name}, which no other file imports`);
    }
  }
  return complaints;
}

function occurrences(text: string, name: string): number {
  return text.match(new RegExp(`(?<![\\w$])${name.replaceAll("$", "\\$")}(?![\\w$])`, "g"))?.length ?? 0;
}
