/** Text from the ledger on its way to a terminal: whoever wrote it must not be able to move the cursor. */

/** Control characters, and formatting ones that turn or hide what stands around them. */
const UNSAFE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** One line, with whatever a terminal would act upon replaced. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, "\uFFFD");
}

/** As `safeText`, cut to so many UTF-16 units. */
export function safeLine(text: string, lengthMax: number): string {
  const safe = safeText(text);
  return safe.length <= lengthMax ? safe : `${safe.slice(0, Math.max(0, lengthMax - 1))}…`;
}
