import { describe, expect, test } from "bun:test";
import { decodeChange, recordedChange, sha256Hex } from "../../src/events/chain.ts";
import { foldChange } from "../../src/events/evolve.ts";
import { INITIAL_STATE } from "../../src/events/state.ts";
import { type Upcast, UpcastError, upcast } from "../../src/events/upcast.ts";
import { contents } from "./scenario.ts";

describe("upcast", () => {
  const step =
    (to: number, field: string): Upcast =>
    (old) => ({ ...old, data: { ...old.data, schema: to, [field]: true } });
  const steps = new Map([
    [1, step(2, "second")],
    [2, step(3, "third")],
  ]);

  test("goes from version to version, in order", () => {
    expect(upcast({ id: "x", data: { schema: 1 } }, steps, 3)).toEqual({
      id: "x",
      data: { schema: 3, second: true, third: true },
    });
    expect(upcast({ data: { schema: 2 } }, steps, 3)).toEqual({ data: { schema: 3, third: true } });
  });

  test("leaves the present version alone", () => {
    const present = { data: { schema: 3, anything: [1] } };
    expect(upcast(present, steps, 3)).toBe(present);
  });

  const refusals: [string, unknown, string][] = [
    ["a newer version", { data: { schema: 4 } }, "upgrade heddle"],
    ["a version that no step leads on from", { data: { schema: 1 } }, "cannot read any more"],
    ["what has no version", { data: {} }, "no data.schema"],
    ["what is no object", 7, "no data.schema"],
  ];
  for (const [title, envelope, words] of refusals) {
    test(`refuses ${title}`, () => {
      const partial = new Map([[2, step(3, "third")]]);
      expect(() => upcast(envelope, partial, 3)).toThrow(UpcastError);
      expect(() => upcast(envelope, partial, 3)).toThrow(words);
    });
  }

  test("does not go round in circles when a step leads nowhere", () => {
    expect(() => upcast({ data: { schema: 1 } }, new Map([[1, step(1, "again")]]), 3)).toThrow(
      "does not lead to a later one",
    );
  });
});

/** Stored bytes of version 1, kept for ever: whatever else changes, they must still read and mean the same. */
describe("a change of schema 1", () => {
  const fixture = new URL("fixtures/change-v1.stored", import.meta.url).pathname;

  test("still has its hash, and still means what it meant", async () => {
    const bytes = await Bun.file(fixture).bytes();
    expect(sha256Hex(bytes)).toBe("c4e5569e28d57337847658623d0333eaaabd32dc595979e4b4845a1d6a066c54");
    const recorded = recordedChange(bytes, 42);
    expect(decodeChange(bytes, 42)).toEqual(recorded.change);
    const state = foldChange(INITIAL_STATE, recorded);
    const documents = contents(state);
    expect(Object.keys(documents)).toEqual([
      "Service/shop/catalog",
      "Route/shop/catalog",
      "AccessPolicy/shop/front",
      "RateLimit/shop/catalog",
    ]);
    expect(documents["Route/shop/catalog"]?.spec).toEqual({
      service: "catalog",
      rules: [
        {
          backends: [
            { subset: "v1", weight: 50 },
            { subset: "v2", weight: 50 },
          ],
          timeout: "3s",
          retries: { attempts: 2, on: ["5xx"], perTryTimeout: "800ms" },
        },
      ],
    });
    expect(documents["AccessPolicy/shop/front"]?.spec).toEqual({
      service: "catalog",
      rules: [{ allow: { from: ["shop/web"], methods: ["GET"] } }],
    });
  });
});
