import { expect, test } from "bun:test";
import fc from "fast-check";
import { flagSet, formatFlags, NO_FLAGS, RESPONSE_FLAGS } from "../../src/telemetry/response-flags.ts";

test("a set prints its flags in Envoy's order, however it came together", () => {
  fc.assert(
    fc.property(fc.subarray([...RESPONSE_FLAGS]), (flags) => {
      const together = flagSet(...flags);
      expect(formatFlags(together)).toBe(flags.length === 0 ? "-" : flags.join(","));
      expect(flags.toReversed().reduce((set, flag) => set | flagSet(flag), NO_FLAGS)).toBe(together);
    }),
  );
});
