import { expect, test } from "bun:test";
import { QuotaBook } from "../../src/control/quota-book.ts";

const RATE = { requests: 10, perMs: 1_000, burst: 5 };

test("what is wanted is granted as far as it is there, and what is owed is taken in any case", () => {
  const book = new QuotaBook();
  expect(book.lease("a", RATE, { owed: 2, wanted: 4 }, 0)).toEqual({ granted: 4, retryAfterMs: 0 });
  expect(book.lease("a", RATE, { owed: 0, wanted: 20 }, 250)).toEqual({ granted: 9, retryAfterMs: 750 });
  expect(book.lease("a", RATE, { owed: 3, wanted: 1 }, 300)).toEqual({ granted: 0, retryAfterMs: 700 });
  // Ten came, three of which were spent before.
  expect(book.lease("a", RATE, { owed: 0, wanted: 20 }, 1_000).granted).toBe(7);
  expect(book.lease("b", RATE, { owed: 0, wanted: 20 }, 1_000).granted).toBe(15);
});

test("never more is saved up than the whole, and another limit begins anew", () => {
  const book = new QuotaBook();
  book.lease("a", RATE, { owed: 0, wanted: 15 }, 0);
  expect(book.lease("a", RATE, { owed: 0, wanted: 100 }, 60_000).granted).toBe(15);
  expect(book.lease("a", { ...RATE, requests: 20 }, { owed: 0, wanted: 100 }, 60_000).granted).toBe(25);
});

test("whoever spent more on credit than an interval brings is told when there is something again, and not before", () => {
  const book = new QuotaBook();
  const rate = { requests: 2, perMs: 1_000, burst: 20 };
  expect(book.lease("a", rate, { owed: 27, wanted: 1 }, 0)).toEqual({ granted: 0, retryAfterMs: 3_000 });
  expect(book.lease("a", rate, { owed: 0, wanted: 1 }, 2_999).granted).toBe(0);
  expect(book.lease("a", rate, { owed: 0, wanted: 1 }, 3_000).granted).toBe(1);
});
