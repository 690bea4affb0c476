/** Names and phrases that the project does without, each with what to write instead. */

import type { SourceFile } from "./source-tree.ts";

interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Where it is fine. */
  readonly except?: readonly string[];
}

// `any` and non-null assertions are the linter's to find. Some patterns are spelled so as not to match themselves.
const TEXT_BANS: readonly Ban[] = [
  { pattern: /\b(?:T[O]DO|FIXM[E]|X{3})\b/, instead: "do it now, or open an issue" },
  { pattern: /@ts-(?:[i]gnore|[e]xpect-error|[n]ocheck)/, instead: "types that hold" },
  {
    pattern: /\bconsole\.\w+\(/,
    instead: "a logger or a callback that is passed in",
    except: ["src/cli/", "bench/", "examples/", "test/"],
  },
];

const PATH_BANS: readonly Ban[] = [
  { pattern: /(?:^|\/)(?:utils?|helpers?|misc|common|lib|manager)(?:\/|\.ts$)/, instead: "the name of what it does" },
  { pattern: /-(?:utils?|helpers?|manager|impl)\.ts$/, instead: "the noun without the filler" },
  { pattern: /[A-Z_]/, instead: "kebab-case" },
];

const DECLARATION_BAN: Ban = {
  pattern: /\b(?:class|interface|type|function) \w*(?:Manager|Helper|Utils?|Impl)\b/,
  instead: "a noun that says what it is",
};

/** One sentence for every banned word in the file or its name. */
export function bannedWords({ path, text }: SourceFile): string[] {
  const complaints = PATH_BANS.filter(({ pattern }) => pattern.test(path)).map(
    ({ instead }) => `${path}: the file name; instead: ${instead}`,
  );
  const bans = [...TEXT_BANS, DECLARATION_BAN].filter(
    ({ except = [] }) => !except.some((place) => path.startsWith(place)),
  );
  for (const [index, line] of text.split("\n").entries()) {
    for (const { pattern, instead } of bans) {
      const found = pattern.exec(line)?.[0];
      if (found !== undefined) complaints.push(`${path}:${index + 1}: ${JSON.stringify(found)}; instead: ${instead}`);
    }
  }
  return complaints;
}
