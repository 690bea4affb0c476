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

/** RFC 9110 §5.6.7, the form that servers must send. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Unix milliseconds; NaN where the text is no date. */
export function parseHttpDate(text: string): number {
  return IMF_FIXDATE.test(text) ? Date.parse(text) : Number.NaN;
}
