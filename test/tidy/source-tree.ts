/** The project's TypeScript files as text, with what each imports and exports: what the tidy tests reason about. */

import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** The project's root; every path below is relative to it. */
export const ROOT = normalize(join(import.meta.dir, "../.."));

export interface Import {
  /** A file of the project, relative to its root, or the name of a package or built-in module. */
  readonly target: string;
  readonly local: boolean;
  /** Names taken from it; `*` for a namespace import, a dynamic import, or an import for its effect only. */
  readonly names: readonly string[];
}

export interface Export {
  readonly name: string;
  /** A class counts as a type, which it is as well: it stands in signatures. */
  readonly kind: "type" | "value";
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly exports: readonly Export[];
}

// `import type` counts as well: a direction is a matter of who must know whom, not of what runs.
const FROM = /^(?:import|export)\s([^;]*?)\bfrom\s*"([^"]+)"/gm;
const FOR_EFFECT = /^import\s*"([^"]+)"/gm;
const DYNAMIC = /\bimport\(\s*"([^"]+)"\s*\)/g;
const DECLARED =
  /^export (?:declare )?(?:abstract )?(?:async )?(function\*?|const|let|class|enum|interface|type) ([A-Za-z_$][\w$]*)/gm;
const LISTED = /^export (type )?\{([^}]*)\}/gm;

/** Every `.ts` file under the given folders of the project, by path. */
export function readSources(...folders: readonly string[]): Map<string, SourceFile> {
  const sources = new Map<string, SourceFile>();
  for (const folder of folders) {
    for (const path of new Bun.Glob(`${folder}/**/*.ts`).scanSync({ cwd: ROOT })) {
      sources.set(path, parseSource(path, readFileSync(join(ROOT, path), "utf8")));
    }
  }
  return new Map([...sources].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function parseSource(path: string, text: string): SourceFile {
  const imports: Import[] = [];
  for (const [, clause = "", target = ""] of text.matchAll(FROM)) {
    imports.push({ ...resolveImport(path, target), names: namesIn(clause) });
  }
  for (const pattern of [FOR_EFFECT, DYNAMIC]) {
    for (const [, target = ""] of text.matchAll(pattern)) {
      imports.push({ ...resolveImport(path, target), names: ["*"] });
    }
  }
  return { path, text, imports, exports: exportsIn(text) };
}

/** What the files import from one another, straight or by way of others, starting from `roots`. */
export function reachable(sources: ReadonlyMap<string, SourceFile>, roots: Iterable<string>): Set<string> {
  const reached = new Set<string>();
  const open = [...roots];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const { local, target } of sources.get(path)?.imports ?? []) if (local) open.push(target);
  }
  return reached;
}

function resolveImport(from: string, target: string): { target: string; local: boolean } {
  if (target.startsWith(".")) return { target: normalize(join(dirname(from), target)), local: true };
  const parts = target.split("/");
  // The package of a deep import, such as `zod/mini`; built-in modules keep their whole name.
  const name = target.startsWith("node:") ? target : parts.slice(0, target.startsWith("@") ? 2 : 1).join("/");
  return { target: name, local: false };
}

/** The original names in an import or re-export clause: `a, type B, c as d` gives a, B and c. */
function namesIn(clause: string): string[] {
  const listed = /\{([^}]*)\}/.exec(clause)?.[1];
  if (clause.includes("*")) return ["*"];
  if (listed === undefined) return ["default"];
  return listed
    .split(",")
    .flatMap((entry) => /(?:type\s+)?([\w$]+)/.exec(entry.trim().replace(/^type\s+/, ""))?.[1] ?? []);
}

function exportsIn(text: string): Export[] {
  const exports: Export[] = [];
  for (const [, keyword = "", name = ""] of text.matchAll(DECLARED)) {
    exports.push({ name, kind: /^(?:class|interface|type)$/.test(keyword) ? "type" : "value" });
  }
  for (const [, types, list = ""] of text.matchAll(LISTED)) {
    for (const entry of list.split(",")) {
      const parts = entry.trim().split(/\s+/);
      const name = parts.at(-1);
      if (name === undefined || name === "") continue;
      exports.push({ name, kind: types !== undefined || parts[0] === "type" ? "type" : "value" });
    }
  }
  return exports;
}
