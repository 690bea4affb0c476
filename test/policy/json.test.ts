/** JSON of which nothing is known yet. */

import { expect, test } from "bun:test";
import { isRecord, ownField, parseJson } from "../../src/policy/json.ts";

test("reads text and bytes alike", () => {
  expect(parseJson('{"a":"ä"}')).toEqual({ a: "ä" });
  expect(parseJson(new TextEncoder().encode('{"a":"ä"}'))).toEqual({ a: "ä" });
});

test.each([
  ["nothing", ""],
  ["half an object", '{"a":'],
  ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
])("%s is no JSON", (_, text) => {
  expect(parseJson(text)).toBeUndefined();
});

test("lists, null and plain values are no records", () => {
  expect([{}, [], null, "text", 1].map(isRecord)).toEqual([true, false, false, false, false]);
});

test("a record has the fields that were written, and none by inheritance", () => {
  expect(ownField({ a: 1 }, "a")).toBe(1);
  expect(ownField({}, "constructor")).toBeUndefined();
});
