/** The time in responses of our own. */

import { expect, test } from "bun:test";
import { httpDateClock } from "../../src/proxy/http-date.ts";

test("the form is RFC 9110's, and follows the clock from second to second, backwards too", () => {
  let nowMs = Date.UTC(1994, 10, 6, 8, 49, 37, 999);
  const date = httpDateClock(() => nowMs);
  expect(date()).toBe("Sun, 06 Nov 1994 08:49:37 GMT");
  nowMs += 1;
  expect(date()).toBe("Sun, 06 Nov 1994 08:49:38 GMT");
  nowMs -= 60_000;
  expect(date()).toBe("Sun, 06 Nov 1994 08:48:38 GMT");
});
