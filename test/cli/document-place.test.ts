import { expect, test } from "bun:test";
import { foldPlaces } from "../../src/cli/output/document-place.ts";

test.each([
  [[], []],
  [["RateLimit/shop/payment"], ["RateLimit/shop/payment"]],
  [["a.x"], ["a.x"]],
  [
    ["S/n/a spec.pool.max", "S/n/a spec.mtls", "S/n/a spec.pool.min", "S/n/b spec.pool.max"],
    ["S/n/a spec.pool (max, min)", "S/n/a spec.mtls", "S/n/b spec.pool.max"],
  ],
])("%j is said as %j", (places, said) => {
  expect(foldPlaces(places)).toEqual(said);
});
