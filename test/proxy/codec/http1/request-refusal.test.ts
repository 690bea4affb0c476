/**
 * What a server must not accept (RFC 9110, RFC 9112), with the attacks of the request smuggling literature among them.
 * Each row is fed whole, byte by byte and in random pieces, and must be refused for the same reason every time.
 */

import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../support/random.ts";
import { feed, serverUnderTest } from "./recorder.ts";
import { CHUNKS, CODING, LENGTH, SMUGGLING } from "./refused-bodies.ts";
import { HOSTS, LINES, SEMANTICS, START_LINES } from "./refused-heads.ts";
import { HOST, type Row } from "./refused-request.ts";

const ROWS = [...LENGTH, ...CODING, ...SMUGGLING, ...CHUNKS, ...LINES, ...START_LINES, ...HOSTS, ...SEMANTICS];

/** The same request behind a good one too: whatever was accepted before must not soften what comes after. */
const GOOD = `GET /first HTTP/1.1\r\n${HOST}\r\n`;

function refusalOf(input: string, nextSize?: () => number): Record<string, unknown> {
  const { connection, output, requests } = serverUnderTest((request) => {
    if (request.ended && request.fault === undefined)
      request.stream.sendHead({ status: 204, headers: [], contentLength: undefined, version: "1.1" }, true);
  });
  feed(connection, input, nextSize);
  return {
    text: output.text,
    fate: output.fate,
    requests: requests.map(({ head, body, trailers, ended, fault }) => ({ head, body, trailers, ended, fault })),
  };
}

describe.each([
  ["lengths", LENGTH],
  ["transfer codings", CODING],
  ["smuggling", SMUGGLING],
  ["chunks", CHUNKS],
  ["lines and fields", LINES],
  ["start lines", START_LINES],
  ["hosts", HOSTS],
  ["semantics", SEMANTICS],
] as [string, Row[]][])("%s", (_, rows) => {
  test.each(rows.map((row) => [...row] as [string, string, number, string]))("%s", (_name, input, status, detail) => {
    const whole = refusalOf(input);
    expect(String(whole.text).split(" ")[1]).toBe(String(status));
    expect(String(whole.text).endsWith(`\r\nconnection: close\r\n\r\n${detail}\n`)).toBe(true);
    expect(whole.fate).toBe("ended");

    expect(refusalOf(input, () => 1)).toEqual(whole);
    const random = seededRandom(input.length);
    for (let round = 0; round < 5; round++) {
      expect(refusalOf(input, () => 1 + Math.floor(random() * 40))).toEqual(whole);
    }

    const second = refusalOf(GOOD + input);
    expect(second.text).toBe(`HTTP/1.1 204 No Content\r\n\r\n${whole.text}`);
    expect(second.fate).toBe("ended");
  });
});

test("the corpus has the size it claims to have", () => {
  expect(ROWS.length).toBeGreaterThan(400);
  expect(new Set(ROWS.map(([, input]) => input)).size).toBe(ROWS.length);
});
