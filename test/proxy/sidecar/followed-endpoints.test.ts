/** How a sidecar hears of the endpoints of many services with credentials that allow it 64 subscriptions. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mintServiceUser } from "../../../src/nats/credentials.ts";
import type { NatsBus } from "../../../src/nats/nats-bus.ts";
import { subjects } from "../../../src/nats/subjects.ts";
import type { ServiceRef } from "../../../src/policy/names.ts";
import { FollowedEndpoints } from "../../../src/proxy/sidecar/followed-endpoints.ts";
import { eventually } from "../../support/mesh.ts";
import { startTestNats, type TestNats } from "../../support/nats.ts";

let nats: TestNats;
let control: NatsBus;
beforeAll(async () => {
  nats = await startTestNats();
  control = (await nats.connectControl()).bus;
});
afterAll(() => nats.stop());

test("whoever may call more services than it has subscriptions hears of all of them, and of no others", async () => {
  const { bus, errors } = await nats.connect(await mintServiceUser(await nats.directory.trust(), "shop", "gateway"));
  const heard: string[] = [];
  const followed = new FollowedEndpoints(bus, (service) => void heard.push(service));
  const many = Array.from({ length: 100 }, (_, at): ServiceRef => `shop/s${at}`);
  /** Has the sets of all hundred published, and one that nobody follows; resolves when the last has been heard. */
  const publish = async (last: ServiceRef): Promise<void> => {
    await bus.flush();
    heard.length = 0;
    control.publish(subjects.endpoints("shop", "other"), new Uint8Array());
    for (const ref of [...many.filter((each) => each !== last), last]) {
      control.publish(subjects.endpoints("shop", ref.slice("shop/".length)), new Uint8Array());
    }
    await eventually(() => expect(heard.at(-1)).toBe(last));
  };
  expect(followed.follow(many.slice(0, 2))).toEqual(many.slice(0, 2));
  await publish("shop/s1");
  expect(heard).toEqual(many.slice(0, 2));
  expect(followed.follow(many)).toEqual(many.slice(2));
  await publish("shop/s99");
  expect(heard).toEqual(many);
  // Back to few: each by itself again, and once.
  expect(followed.follow(many.slice(50, 60))).toEqual([]);
  await publish("shop/s59");
  expect(heard).toEqual(many.slice(50, 60));
  followed.stop();
  expect(errors).toEqual([]);
});
