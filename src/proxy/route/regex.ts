/**
 * Runs an expression of policy over a text: a deterministic machine that is built as texts ask for it. Each code of the
 * text costs one look-up once its step is known, and at most one walk over the program before.
 */

import { parseRegex, REGEX_CODES, type RegexProgram } from "../../policy/regex.ts";

/** Places that are remembered of one expression; beyond, it begins to learn anew. A bound, since texts choose them. */
const PLACES_MAX = 512;

/** All steps of the program at which the walk can be at once. */
interface Place {
  readonly steps: readonly number[];
  readonly accepts: boolean;
  /** By class of codes; undefined: not known yet. */
  readonly next: (Place | undefined)[];
}

/** Whether the whole text matches. Expressions were validated when they entered the ledger: a bad one is our bug. */
export function compileRegex(pattern: string): (text: string) => boolean {
  const program = parseRegex(pattern);
  if (!program.ok) throw new Error(`not a regular expression: ${pattern}: ${program.error}`);
  const machine = new Machine(program.value);
  return (text) => machine.matches(text);
}

class Machine {
  readonly #program: RegexProgram;
  /** Codes that no set tells apart are one class. */
  readonly #classes: Uint16Array;
  readonly #representatives: readonly number[];
  readonly #places = new Map<string, Place>();
  #start: Place;

  constructor(program: RegexProgram) {
    this.#program = program;
    const { classes, representatives } = classesOf(program);
    this.#classes = classes;
    this.#representatives = representatives;
    this.#start = this.#placeOf([program.start]);
  }

  matches(text: string): boolean {
    let place = this.#start;
    for (let at = 0; at < text.length; at++) {
      const code = Math.min(text.charCodeAt(at), REGEX_CODES);
      const kind = this.#classes[code] ?? 0;
      place = place.next[kind] ?? this.#learn(place, kind);
      if (place.steps.length === 0) return false;
    }
    return place.accepts;
  }

  #learn(place: Place, kind: number): Place {
    const code = this.#representatives[kind] ?? 0;
    const reached: number[] = [];
    for (const at of place.steps) {
      const step = this.#program.steps[at];
      if (step?.kind === "set" && step.set[code] === 1) reached.push(step.next);
    }
    if (this.#places.size >= PLACES_MAX) {
      this.#places.clear();
      this.#start = this.#placeOf([this.#program.start]);
    }
    const next = this.#placeOf(reached);
    place.next[kind] = next;
    return next;
  }

  /** The place with these steps and all that can be reached from them without a code. */
  #placeOf(from: readonly number[]): Place {
    const seen = new Set<number>();
    const pending = [...from];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      const step = this.#program.steps[at];
      if (step?.kind === "split") pending.push(step.first, step.second);
    }
    const steps = [...seen].filter((at) => this.#program.steps[at]?.kind !== "split").sort((a, b) => a - b);
    const key = steps.join();
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place = { steps, accepts: steps.some((at) => this.#program.steps[at]?.kind === "match"), next: [] };
    this.#places.set(key, place);
    return place;
  }
}

/** One step of refinement for each set: codes stay together as long as every set holds all of them or none. */
function classesOf({ steps }: RegexProgram): { classes: Uint16Array; representatives: number[] } {
  const classes = new Uint16Array(REGEX_CODES + 1);
  let representatives = [0];
  for (const step of steps) {
    if (step.kind !== "set") continue;
    const numbers = new Map<number, number>();
    representatives = [];
    for (let code = 0; code <= REGEX_CODES; code++) {
      const pair = (classes[code] ?? 0) * 2 + (step.set[code] ?? 0);
      let number = numbers.get(pair);
      if (number === undefined) {
        number = representatives.push(code) - 1;
        numbers.set(pair, number);
      }
      classes[code] = number;
    }
  }
  return { classes, representatives };
}
