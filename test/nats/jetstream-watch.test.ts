/** When a server whose JetStream is off is started again. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { hasRoomToStart, isJetStreamOff, watchJetStream } from "../../src/nats/jetstream-watch.ts";
import { startTestNats, type TestNats } from "../support/nats.ts";

let nats: TestNats;
beforeAll(async () => {
  nats = await startTestNats();
});
afterAll(() => nats.stop());

/** What becomes of looks that find these, one after the other, until the server is started again. */
async function watched(looks: readonly ("on" | "off, full" | "off")[]): Promise<string[]> {
  const said: string[] = [];
  const left = [...looks];
  let now: (typeof looks)[number] = "on";
  const restarted = Promise.withResolvers<void>();
  const end = watchJetStream({
    isOff: async () => {
      now = left.shift() ?? "off";
      return now !== "on";
    },
    hasRoom: async () => now !== "off, full",
    off: (isFull) => said.push(isFull ? "full" : "off"),
    restart: () => restarted.resolve(),
    lookEveryMs: 1,
  });
  await restarted.promise;
  end();
  return [...said, `${left.length} looks left`];
}

test("one that is off at three looks in a row is started again, once its disk has room", async () => {
  expect(await watched(["off", "off", "off", "on"])).toEqual(["off", "1 looks left"]);
  expect(await watched(["off", "off", "on", "off", "off", "off"])).toEqual(["off", "0 looks left"]);
  const full = Array.from({ length: 5 }, () => "off, full" as const);
  expect(await watched([...full, "off", "on"])).toEqual(["full", "1 looks left"]);
});

test("a server that is well is not off, nor is one that is away", async () => {
  expect(await isJetStreamOff(nats.directory)).toBe(false);
  expect(await hasRoomToStart(nats.directory)).toBe(true);
  await nats.kill9();
  expect(await isJetStreamOff(nats.directory)).toBe(false);
  await nats.restart();
}, 30_000);
