/**
 * A clock that tells the time as `Date` does (RFC 9110 §5.6.7, §6.6.1). The text is kept for its second: formatting
 * dates is dear, and responses of our own are most frequent when there is least time for them.
 * @param wallMs Unix milliseconds
 */
export function httpDateClock(wallMs: () => number): () => string {
  let second = Number.NaN;
  let text = "";
  return () => {
    const now = Math.floor(wallMs() / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toUTCString();
    }
    return text;
  };
}

const TIME = String.raw`(?<time>\d{2}:\d{2}:\d{2})`;

/** RFC 9110 §5.6.7: the form that servers must send, and the two obsolete ones that must be understood. */
const FORMS = [
  String.raw`[A-Z][a-z]{2}, (?<day>\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) ${TIME} GMT`,
  String.raw`[A-Z][a-z]{5,8}, (?<day>\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\d{2}) ${TIME} GMT`,
  String.raw`[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) ${TIME} (?<year>\d{4})`,
].map((form) => new RegExp(`^${form}$`));

/** A year of two digits is at most so far ahead (RFC 9110 §5.6.7). */
const YEARS_AHEAD_MAX = 50;

/**
 * Unix milliseconds; NaN where the text is no date.
 * @param nowMs Unix milliseconds: what a year of two digits is read by.
 */
export function parseHttpDate(text: string, nowMs: number): number {
  for (const form of FORMS) {
    const { day, month, year = "", time } = form.exec(text)?.groups ?? {};
    if (day !== undefined) return Date.parse(`${day.trim()} ${month} ${wholeYear(year, nowMs)} ${time} GMT`);
  }
  return Number.NaN;
}

/** The latest year with these last digits that is not too far ahead. */
function wholeYear(year: string, nowMs: number): number {
  if (year.length > 2) return Number(year);
  const latest = new Date(nowMs).getUTCFullYear() + YEARS_AHEAD_MAX;
  return latest - ((latest - Number(year)) % 100);
}
