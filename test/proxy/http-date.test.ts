/** The time in responses of our own, and in those of others. */

import { expect, test } from "bun:test";
import { httpDateClock, parseHttpDate } from "../../src/proxy/http-date.ts";

test("the form is RFC 9110's, and follows the clock from second to second, backwards too", () => {
  let nowMs = Date.UTC(1994, 10, 6, 8, 49, 37, 999);
  const date = httpDateClock(() => nowMs);
  expect(date()).toBe("Sun, 06 Nov 1994 08:49:37 GMT");
  nowMs += 1;
  expect(date()).toBe("Sun, 06 Nov 1994 08:49:38 GMT");
  nowMs -= 60_000;
  expect(date()).toBe("Sun, 06 Nov 1994 08:48:38 GMT");
});

/** RFC 9110 §5.6.7. */
const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);

test.each([
  ["IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE],
  ["rfc850-date", "Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE],
  ["asctime-date", "Sun Nov  6 08:49:37 1994", EXAMPLE],
  ["asctime-date", "Wed Nov 16 08:49:37 1994", EXAMPLE + 10 * 86_400_000],
  ["no date", "06 Nov 1994 08:49:37 GMT", Number.NaN],
  ["no date", "Sun, 06 Xyz 1994 08:49:37 GMT", Number.NaN],
  ["no date", "Sun, 06 Nov 1994 08:49:37 CET", Number.NaN],
  ["no date", "tomorrow", Number.NaN],
])("%s: %s", (_form, text, expected) => {
  expect(parseHttpDate(text, EXAMPLE)).toBe(expected);
});

test.each([
  [2026, "26", 2026],
  [2026, "75", 2075],
  [2026, "76", 2076],
  [2026, "77", 1977],
  [1999, "00", 2000],
  [2099, "01", 2101],
])("in %d, a year %s is %d", (now, year, expected) => {
  const read = parseHttpDate(`Sunday, 06-Nov-${year} 08:49:37 GMT`, Date.UTC(now, 0, 1));
  expect(new Date(read).getUTCFullYear()).toBe(expected);
});
