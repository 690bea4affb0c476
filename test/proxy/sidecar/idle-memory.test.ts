import { expect, test } from "bun:test";
import { OpenExchanges } from "../../../src/proxy/open-exchanges.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { IdleMemory } from "../../../src/proxy/sidecar/idle-memory.ts";
import { eventually } from "../../support/mesh.ts";

test("memory is given back once after each time of activity, and never while there is some", async () => {
  let returned = 0;
  let looks = 0;
  const runtime = { ...systemRuntime(), returnMemory: () => void returned++ };
  class CountedExchanges extends OpenExchanges {
    override get size(): number {
      looks++;
      return super.size;
    }
  }
  const exchanges = new CountedExchanges();
  const looked = (times: number) => {
    const from = looks;
    return eventually(() => expect(looks).toBeGreaterThanOrEqual(from + times));
  };
  const memory = new IdleMemory(runtime, exchanges, 10, 10);
  await looked(4);
  expect(returned).toBe(1);

  const exchange = { openAt: -1, review() {}, cutOff() {} };
  exchanges.add(exchange);
  await looked(4);
  expect(returned).toBe(1);

  exchanges.delete(exchange);
  await looked(4);
  expect(returned).toBe(2);

  // One that came and went between two looks is activity as well.
  exchanges.add(exchange);
  exchanges.delete(exchange);
  await looked(4);
  expect(returned).toBe(3);
  memory.close();
});
