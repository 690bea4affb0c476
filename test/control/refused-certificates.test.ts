import { expect, test } from "bun:test";
import { RefusedCertificates } from "../../src/control/refused-certificates.ts";

const lines: unknown[] = [];
const log = new RefusedCertificates({ warn: (fields: object) => void lines.push(fields) });
const refusal = (timeMs: number, service = "web") => ({ timeMs, namespace: "shop", service, reason: "too many" });

test("one line a second for each service, which tells how many more there were", () => {
  for (let timeMs = 0; timeMs < 1_000; timeMs++) log.note(refusal(timeMs));
  log.note(refusal(10, "orders"));
  log.note(refusal(1_000));
  log.note(refusal(500));
  expect(lines).toEqual([
    refusal(0),
    refusal(10, "orders"),
    { ...refusal(1_000), othersSinceLast: 999 },
    // The clock was set back.
    refusal(500),
  ]);
});
