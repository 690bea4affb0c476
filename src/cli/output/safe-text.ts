/** Text from the ledger on its way to a terminal: whoever wrote it must not be able to move the cursor. */

/** Control characters, and formatting ones that turn or hide what stands around them. */
const UNSAFE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** One line, with whatever a terminal would act upon replaced. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, "\uFFFD");
}

/** As `safeText`, for a text whose own line ends are meant. */
export function safeLines(text: string): string {
  return text.split("\n").map(safeText).join("\n");
}

/** What JSON leaves as it is though a terminal acts upon it: C1 controls, and formatting characters. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\p{Cf}\u2028\u2029]/gu;

/** JSON, or YAML whose texts are quoted as JSON, that says the same and is safe to show. */
export function escapeUnsafe(json: string): string {
  return json.replace(UNSAFE_IN_JSON, (character) => {
    const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}

/** As `safeText`, cut to so many UTF-16 units. */
export function safeLine(text: string, lengthMax: number): string {
  const safe = safeText(text);
  return safe.length <= lengthMax ? safe : `${safe.slice(0, Math.max(0, lengthMax - 1))}…`;
}
