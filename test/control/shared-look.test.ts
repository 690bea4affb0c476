import { expect, test } from "bun:test";
import { SharedLook } from "../../src/control/shared-look.ts";

/** Questions that are put, to be answered by hand. */
function questions() {
  const put: PromiseWithResolvers<number>[] = [];
  const look = new SharedLook<number>(() => {
    const question = Promise.withResolvers<number>();
    put.push(question);
    return question.promise;
  });
  return { put, look };
}

/** All that is due in this turn has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("who asks at once shares an answer; who comes while it is under way gets a later one", async () => {
  const { put, look } = questions();
  const first = [look.look(), look.look()];
  await settled();
  const later = [look.look(), look.look(), look.look()];
  await settled();
  expect(put).toHaveLength(1);
  put[0]?.resolve(1);
  expect(await Promise.all(first)).toEqual([1, 1]);
  await settled();
  expect(put).toHaveLength(2);
  put[1]?.resolve(2);
  expect(await Promise.all(later)).toEqual([2, 2, 2]);
  const last = look.look();
  await settled();
  put[2]?.resolve(3);
  expect(await last).toBe(3);
});

test("a failure is for those who waited for it, and no others", async () => {
  const { put, look } = questions();
  const first = look.look();
  await settled();
  const second = look.look();
  put[0]?.reject(new Error("out of reach"));
  await expect(first).rejects.toThrow("out of reach");
  await settled();
  put[1]?.resolve(7);
  expect(await second).toBe(7);
});
