/**
 * Regular expressions of policy, compiled for a machine that does not backtrack: the subset of RE2's syntax that paths
 * and headers call for. Back-references and look-around do not exist, so that matching takes time linear in the text,
 * whatever an operator writes and whatever a caller sends.
 *
 * Supported: literals, `.`, classes (`[a-z]`, `[^/]`, `\d \w \s` and their complements), `( )`, `(?: )`, `|`, `* + ?
 * {n} {n,} {n,m}`, `(?i)` in front. An expression always speaks of the whole text; `^` and `$` around it may stand.
 */

import { err, ok, type Result } from "./result.ts";

/** Codes that are told apart; whatever is beyond counts as one more, which only `.` and complements hold. */
export const REGEX_CODES = 256;

/** A set of codes: one byte for each, and one for all beyond. */
export type CodeSet = Uint8Array;

/** One step: `set` takes one code and goes on to `next`; `split` goes to both; `match` is the end. */
export type RegexStep =
  | { readonly kind: "set"; readonly set: CodeSet; readonly next: number }
  | { readonly kind: "split"; readonly first: number; readonly second: number }
  | { readonly kind: "match" };

/** Begins at `start`. */
export interface RegexProgram {
  readonly steps: readonly RegexStep[];
  readonly start: number;
}

/** Steps of one expression, which bounds the states that a match tracks at once. */
const STEPS_MAX = 256;
const REPEAT_MAX = STEPS_MAX;

type Node =
  | { readonly kind: "set"; readonly set: CodeSet }
  | { readonly kind: "sequence"; readonly items: readonly Node[] }
  | { readonly kind: "choice"; readonly items: readonly Node[] }
  | { readonly kind: "repeat"; readonly item: Node; readonly min: number; readonly max: number };

class RegexError extends Error {}

/** The program of an expression, or what is wrong with it, to be read after "must be a regular expression". */
export function parseRegex(text: string): Result<RegexProgram, string> {
  try {
    const node = new Parser(text).parse();
    if (stepsOf(node) >= STEPS_MAX) return err(`it is too large: at most ${STEPS_MAX} steps`);
    const steps: RegexStep[] = [{ kind: "match" }];
    return ok({ start: emit(steps, node, 0), steps });
  } catch (error) {
    if (error instanceof RegexError) return err(error.message);
    throw error;
  }
}

/** A bound on the steps that a node becomes; counted first, since repetitions multiply. */
function stepsOf(node: Node): number {
  switch (node.kind) {
    case "set":
      return 1;
    case "sequence":
      return node.items.reduce((sum, item) => sum + stepsOf(item), 0);
    case "choice":
      return node.items.reduce((sum, item) => sum + stepsOf(item) + 1, 0);
    case "repeat": {
      const copies = Number.isFinite(node.max) ? node.max : node.min + 1;
      return copies * (stepsOf(node.item) + 1);
    }
  }
}

/** Writes a node in front of `next`; returns where it begins. */
function emit(steps: RegexStep[], node: Node, next: number): number {
  switch (node.kind) {
    case "set":
      return steps.push({ kind: "set", set: node.set, next }) - 1;
    case "sequence":
      return node.items.reduceRight((after, item) => emit(steps, item, after), next);
    case "choice":
      return node.items
        .map((item) => emit(steps, item, next))
        .reduceRight((second, first) => steps.push({ kind: "split", first, second }) - 1);
    case "repeat":
      return emitRepeat(steps, node, next);
  }
}

function emitRepeat(steps: RegexStep[], node: Extract<Node, { kind: "repeat" }>, next: number): number {
  const { item, min, max } = node;
  let after = next;
  if (Number.isFinite(max)) {
    for (let copy = min; copy < max; copy++) {
      after = steps.push({ kind: "split", first: emit(steps, item, after), second: next }) - 1;
    }
  } else {
    // The loop leads back to its own split, whose place is known before what it repeats is.
    const loop = steps.push({ kind: "match" }) - 1;
    steps[loop] = { kind: "split", first: emit(steps, item, loop), second: next };
    after = loop;
  }
  for (let copy = 0; copy < min; copy++) after = emit(steps, item, after);
  return after;
}

/** Groups within groups: a bound on the parser's own depth. */
const DEPTH_MAX = 32;
const QUANTIFIERS = "*+?{";
const DIGITS = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/;

class Parser {
  readonly #text: string;
  readonly #foldCase: boolean;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#foldCase = text.startsWith("(?i)");
    const body = this.#foldCase ? text.slice(4) : text;
    const from = body.startsWith("^") ? 1 : 0;
    // An escaped `$` is one of the text's own; one behind an escaped backslash is not.
    const to = /(?<!\\)(?:\\\\)*\$$/.test(body) ? -1 : undefined;
    this.#text = body.slice(from, to);
  }

  parse(): Node {
    const node = this.#choice();
    if (this.#at < this.#text.length) throw new RegexError("it closes a group that is not open");
    return node;
  }

  #choice(): Node {
    const first = this.#sequence();
    const items = [first];
    while (this.#take("|")) items.push(this.#sequence());
    return items.length === 1 ? first : { kind: "choice", items };
  }

  #sequence(): Node {
    const items: Node[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#text.charAt(this.#at))) items.push(this.#repeat());
    return { kind: "sequence", items };
  }

  #repeat(): Node {
    const item = this.#atom();
    const bounds = this.#quantifier();
    if (bounds === undefined) return item;
    // Greedy or not makes no difference to whether the whole text matches.
    this.#take("?");
    if (QUANTIFIERS.includes(this.#text.charAt(this.#at) || " ")) throw new RegexError("it repeats a repetition");
    return { kind: "repeat", item, ...bounds };
  }

  #quantifier(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.#text.charAt(this.#at) !== "{") return undefined;
    const [whole, low, comma, high] = DIGITS.exec(this.#text.slice(this.#at)) ?? [];
    if (whole === undefined)
      throw new RegexError("`{` begins a repetition, such as {2} or {1,3}; write \\{ for itself");
    this.#at += whole.length;
    const min = Number(low);
    const max = comma === undefined ? min : high === undefined ? Number.POSITIVE_INFINITY : Number(high);
    if (max < min || min > REPEAT_MAX || (Number.isFinite(max) && max > REPEAT_MAX)) {
      throw new RegexError(`${whole} is no repetition: from the smaller to the larger, at most ${REPEAT_MAX}`);
    }
    return { min, max };
  }

  #atom(): Node {
    const char = this.#text.charAt(this.#at++);
    if (char === "(") return this.#group();
    if (char === "[") return { kind: "set", set: this.#class() };
    if (char === ".") return { kind: "set", set: new Uint8Array(REGEX_CODES + 1).fill(1) };
    if (char === "\\") return { kind: "set", set: this.#folded(this.#escape()) };
    if ("^$".includes(char))
      throw new RegexError(`\`${char}\` may stand only at the ${char === "^" ? "beginning" : "end"}`);
    if (QUANTIFIERS.includes(char)) throw new RegexError(`there is nothing that \`${char}\` could repeat`);
    return { kind: "set", set: this.#folded(single(char)) };
  }

  #group(): Node {
    if (this.#take("?") && !this.#take(":")) {
      throw new RegexError("of groups that begin with `(?` there is only (?:…), and (?i) in front of it all");
    }
    if (++this.#depth > DEPTH_MAX) throw new RegexError(`its groups stand more than ${DEPTH_MAX} deep`);
    const node = this.#choice();
    if (!this.#take(")")) throw new RegexError("a group is not closed");
    this.#depth--;
    return node;
  }

  #class(): CodeSet {
    const set = new Uint8Array(REGEX_CODES + 1);
    const complement = this.#take("^");
    let first = true;
    while (first || this.#text.charAt(this.#at) !== "]") {
      if (this.#at >= this.#text.length) throw new RegexError("a class is not closed: `]` is missing");
      first = false;
      this.#member(set);
    }
    this.#at++;
    const folded = this.#folded(set);
    return complement ? complementOf(folded) : folded;
  }

  /** One character, a range, or an escape of a class. */
  #member(set: CodeSet): void {
    const low = this.#classCode();
    if (low instanceof Uint8Array) {
      addAll(set, low);
      return;
    }
    const isRange = this.#text.charAt(this.#at) === "-" && !["]", ""].includes(this.#text.charAt(this.#at + 1));
    if (!isRange) {
      set[low] = 1;
      return;
    }
    this.#at++;
    const high = this.#classCode();
    if (high instanceof Uint8Array || high < low)
      throw new RegexError("a range goes from the smaller to the larger code");
    set.fill(1, low, high + 1);
  }

  #classCode(): number | CodeSet {
    const char = this.#text.charAt(this.#at++);
    if (char !== "\\") return codeOf(char);
    const set = this.#escape();
    const only = set.indexOf(1);
    return set.indexOf(1, only + 1) < 0 ? only : set;
  }

  #escape(): CodeSet {
    const char = this.#text.charAt(this.#at++);
    const known = CLASSES.get(char.toLowerCase());
    if (known !== undefined) return char === char.toLowerCase() ? known : complementOf(known);
    const control = "tnrfv".indexOf(char);
    if (control >= 0 && char !== "") return single("\t\n\r\f\v".charAt(control));
    if (char === "x") {
      const [hex] = /^[0-9a-fA-F]{2}/.exec(this.#text.slice(this.#at)) ?? [];
      if (hex === undefined) throw new RegexError("\\x is followed by two hexadecimal digits");
      this.#at += 2;
      return single(String.fromCharCode(Number.parseInt(hex, 16)));
    }
    if (char === "" || /[A-Za-z0-9]/.test(char)) throw new RegexError(`there is no \\${char}`);
    return single(char);
  }

  #folded(set: CodeSet): CodeSet {
    if (!this.#foldCase) return set;
    const folded = set.slice();
    for (let lower = 0x61; lower <= 0x7a; lower++) {
      const either = (set[lower] ?? 0) | (set[lower - 0x20] ?? 0);
      folded[lower] = either;
      folded[lower - 0x20] = either;
    }
    return folded;
  }

  #take(char: string): boolean {
    if (this.#text.charAt(this.#at) !== char) return false;
    this.#at++;
    return true;
  }
}

const CLASSES: ReadonlyMap<string, CodeSet> = new Map([
  ["d", ranges("09")],
  ["w", ranges("09", "AZ", "az", "__")],
  ["s", ranges("\t\n", "\f\r", "  ")],
]);

function ranges(...pairs: readonly string[]): CodeSet {
  const set = new Uint8Array(REGEX_CODES + 1);
  for (const pair of pairs) set.fill(1, pair.charCodeAt(0), pair.charCodeAt(1) + 1);
  return set;
}

function codeOf(char: string): number {
  const code = char.charCodeAt(0);
  if (code < REGEX_CODES) return code;
  throw new RegexError(`${char} is outside of latin1: paths have it percent-encoded, and headers not at all`);
}

function single(char: string): CodeSet {
  const set = new Uint8Array(REGEX_CODES + 1);
  set[codeOf(char)] = 1;
  return set;
}

function complementOf(set: CodeSet): CodeSet {
  return set.map((held) => 1 - held);
}

function addAll(set: CodeSet, other: CodeSet): void {
  for (const [code, held] of other.entries()) if (held === 1) set[code] = 1;
}
