import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatGrpcTimeout, parseGrpcTimeout } from "../../src/proxy/grpc-timeout.ts";

test.each([
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3_000],
  ["250m", 250],
  ["1500u", 1.5],
  ["1000000n", 1],
  ["0m", 0],
  ["99999999H", 99_999_999 * 3_600_000],
])("%s is %d ms", (text, expected) => {
  expect(parseGrpcTimeout(text)).toBeCloseTo(expected, 9);
});

test.each(["", "1", "m", "1s", "1 S", "-1S", "1.5S", "100000000m", "1Sm", "1S\n"])("%j is no timeout", (text) => {
  expect(parseGrpcTimeout(text)).toBeUndefined();
});

test.each([
  [0, "1u"],
  [0.25, "250u"],
  [1_234.567_89, "1234567u"],
  [100_000, "100000m"],
  [100_000_000, "100000S"],
  [400_000_000_000_000, "99999999H"],
])("%d ms is written %s", (timeoutMs, expected) => {
  expect(formatGrpcTimeout(timeoutMs)).toBe(expected);
});

test("what is written is what was meant, never more, and hardly less", () => {
  fc.assert(
    fc.property(fc.double({ min: 1, max: 99_999_999_000, noNaN: true }), (timeoutMs) => {
      const back = parseGrpcTimeout(formatGrpcTimeout(timeoutMs)) ?? Number.NaN;
      expect(back).toBeLessThanOrEqual(timeoutMs * (1 + 1e-12));
      expect(back).toBeGreaterThan(timeoutMs - Math.max(0.0011, timeoutMs / 90_000));
    }),
  );
});
