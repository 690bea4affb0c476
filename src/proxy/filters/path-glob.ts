/**
 * Paths with wildcards, as a machine that walks over the path once with all the places in the pattern at which it can
 * be (Thompson's construction): no pattern and no path can make it go back.
 *
 * A segment `**` stands for any number of segments, none included; a segment `*` or `{name}` for exactly one that is not
 * empty; `*` within a segment for any part of it, and at the end of the pattern for all that follows.
 */

/** A segment of this form stands for any one segment. */
export const TEMPLATE = /^\{[A-Za-z_][A-Za-z0-9_-]*\}$/;

/** A place in a pattern: a character code that must come, or one of the wildcards. */
type Step = number;

/** Any characters of one segment, also none. */
const WITHIN_SEGMENT = -1;
/** One character that is no slash. */
const ONE_OF_SEGMENT = -2;
/** Any characters. */
const ANYTHING = -3;
/** A slash and `ANYTHING`, which stands next, or neither. */
const MORE_SEGMENTS = -4;

const SLASH = 0x2f;

/** @param read the form of the pattern's own text in which it is compared. */
export function compileGlob(pattern: string, read: (literal: string) => string): (path: string) => boolean {
  const steps = stepsOf(pattern, read);
  // Two generations of places: where the walk can be before a character, and after it.
  let here = new Uint8Array(steps.length + 1);
  let next = new Uint8Array(steps.length + 1);
  return (path) => {
    here.fill(0);
    enter(steps, here, 0);
    for (let at = 0; at < path.length; at++) {
      next.fill(0);
      if (!advance(steps, here, next, path.charCodeAt(at))) return false;
      [here, next] = [next, here];
    }
    return here[steps.length] === 1;
  };
}

/** Marks a place, and those behind wildcards that may stand for nothing. */
function enter(steps: readonly Step[], places: Uint8Array, place: number): void {
  let at = place;
  for (;;) {
    if (places[at] === 1) return;
    places[at] = 1;
    const step = steps[at];
    if (step === WITHIN_SEGMENT || step === ANYTHING) at += 1;
    else if (step === MORE_SEGMENTS) at += 2;
    else return;
  }
}

/** Where one character leads from all places; false where it leads nowhere. */
function advance(steps: readonly Step[], from: Uint8Array, to: Uint8Array, code: number): boolean {
  let somewhere = false;
  for (let at = 0; at < steps.length; at++) {
    if (from[at] !== 1) continue;
    const target = targetOf(steps[at] ?? 0, at, code);
    if (target === undefined) continue;
    enter(steps, to, target);
    somewhere = true;
  }
  return somewhere;
}

function targetOf(step: Step, at: number, code: number): number | undefined {
  switch (step) {
    case ANYTHING:
      return at;
    case WITHIN_SEGMENT:
      return code === SLASH ? undefined : at;
    case ONE_OF_SEGMENT:
      return code === SLASH ? undefined : at + 1;
    case MORE_SEGMENTS:
      return code === SLASH ? at + 1 : undefined;
    default:
      return step === code ? at + 1 : undefined;
  }
}

function stepsOf(pattern: string, read: (literal: string) => string): Step[] {
  const [, ...segments] = pattern.split("/");
  return segments.flatMap((segment, index): Step[] => {
    const isLast = index === segments.length - 1;
    if (segment === "**") return [MORE_SEGMENTS, ANYTHING];
    if (TEMPLATE.test(segment) || (segment === "*" && !isLast)) return [SLASH, ONE_OF_SEGMENT, WITHIN_SEGMENT];
    const literals = segment.split("*").map((literal) => codesOf(read(literal)));
    const [first = [], ...others] = literals;
    const rest = others.flatMap((codes, position) => {
      const endsPattern = isLast && position === others.length - 1 && codes.length === 0;
      return [endsPattern ? ANYTHING : WITHIN_SEGMENT, ...codes];
    });
    return [SLASH, ...first, ...rest];
  });
}

function codesOf(text: string): number[] {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}
