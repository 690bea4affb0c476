import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ConnectionEvent, NoResponders, PermissionDenied, RequestTimeout } from "../../src/nats/bus.ts";
import { connectBus } from "../../src/nats/connection.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { startTestNats, type TestBus, type TestNats } from "../support/nats.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** Resolves with the next event of that kind. */
function nextEvent(bus: NatsBus, wanted: ConnectionEvent): Promise<void> {
  return new Promise((resolve) => bus.onConnection((event) => event === wanted && resolve()));
}

describe("the bus", () => {
  let nats: TestNats;
  let one: TestBus;
  let two: TestBus;
  beforeAll(async () => {
    nats = await startTestNats();
    one = await nats.connectControl();
    two = await nats.connectControl();
  });
  afterAll(() => nats.stop());

  test("delivers to every subscriber, and to one of a queue group", async () => {
    const heard: string[] = [];
    const everyone = [one, two].map(({ bus }) => bus.subscribe("heddle.t1", () => heard.push("each")));
    const group = [one, two].map(({ bus }) => bus.subscribe("heddle.t1", () => heard.push("group"), { queue: "q" }));
    await Promise.all([one.bus.flush(), two.bus.flush()]);
    one.bus.publish("heddle.t1", bytes("x"));
    // Each flush comes back behind what was delivered before it.
    await one.bus.flush();
    await two.bus.flush();
    expect(heard.sort()).toEqual(["each", "each", "group"]);
    for (const subscription of [...everyone, ...group]) subscription.stop();
  });

  test("delivers nothing after stop", async () => {
    const heard: string[] = [];
    const subscription = two.bus.subscribe("heddle.t2", ({ data }) => heard.push(text(data)));
    await two.bus.flush();
    two.bus.publish("heddle.t2", bytes("before"));
    await two.bus.flush();
    subscription.stop();
    two.bus.publish("heddle.t2", bytes("after"));
    await two.bus.flush();
    expect(heard).toEqual(["before"]);
  });

  test("answers a request; says when nobody listens and when nobody answers", async () => {
    two.bus.subscribe("heddle.echo", (message) => message.respond(message.data));
    two.bus.subscribe("heddle.mute", () => {});
    await two.bus.flush();
    expect(text(await one.bus.request("heddle.echo", bytes("hello"), { timeoutMs: 5_000 }))).toBe("hello");
    await expect(one.bus.request("heddle.nobody", bytes(""), { timeoutMs: 5_000 })).rejects.toBeInstanceOf(
      NoResponders,
    );
    await expect(one.bus.request("heddle.mute", bytes(""), { timeoutMs: 20 })).rejects.toBeInstanceOf(RequestTimeout);
  });

  test("tells a handler of a plain message that there is nobody to answer", async () => {
    const answered = Promise.withResolvers<boolean>();
    two.bus.subscribe("heddle.t4", (message) => answered.resolve(message.respond(bytes("?"))));
    await two.bus.flush();
    one.bus.publish("heddle.t4", bytes(""));
    expect(await answered.promise).toBe(false);
  });

  test("outlives handlers that throw and handlers that reject", async () => {
    const { bus, errors } = await nats.connectControl();
    const heard: string[] = [];
    bus.subscribe("heddle.t5", ({ data }) => {
      heard.push(text(data));
      if (text(data) === "throw") throw new Error("thrown");
      return text(data) === "reject" ? Promise.reject(new Error("rejected")) : undefined;
    });
    for (const data of ["throw", "reject", "fine"]) bus.publish("heddle.t5", bytes(data));
    await bus.flush();
    expect(heard).toEqual(["throw", "reject", "fine"]);
    expect(errors.map(({ message }) => message)).toEqual(["thrown", "rejected"]);
  });

  test("after close, requests fail and listeners know", async () => {
    const { bus } = await nats.connectControl();
    const closed = nextEvent(bus, "closed");
    await bus.close();
    await closed;
    expect(bus.connected).toBe(false);
    await expect(bus.request("heddle.echo", bytes(""), { timeoutMs: 50 })).rejects.toBeInstanceOf(NoResponders);
    await bus.close();
  });

  test("close hands over what was published before it", async () => {
    const heard = Promise.withResolvers<string>();
    two.bus.subscribe("heddle.t7", ({ data }) => heard.resolve(text(data)));
    await two.bus.flush();
    const { bus } = await nats.connectControl();
    bus.publish("heddle.t7", bytes("last words"));
    await bus.close();
    expect(await heard.promise).toBe("last words");
  });
});

describe("the bus and a server that comes and goes", () => {
  test("subscriptions and requests work again after a crash and a restart on the same port", async () => {
    const nats = await startTestNats();
    try {
      const { bus, errors } = await nats.connectControl();
      const heard = Promise.withResolvers<string>();
      bus.subscribe("heddle.again", ({ data }) => heard.resolve(text(data)));
      bus.subscribe("heddle.echo", (message) => message.respond(message.data));
      const lost = nextEvent(bus, "disconnected");
      await nats.kill9();
      await lost;
      expect(bus.connected).toBe(false);
      await expect(bus.request("heddle.echo", bytes(""), { timeoutMs: 60_000 })).rejects.toBeInstanceOf(NoResponders);
      bus.publish("heddle.again", bytes("into the void"));
      const back = nextEvent(bus, "connected");
      await nats.restart();
      await back;
      expect(bus.connected).toBe(true);
      bus.publish("heddle.again", bytes("back"));
      expect(await heard.promise).toBe("back");
      expect(text(await bus.request("heddle.echo", bytes("hello"), { timeoutMs: 5_000 }))).toBe("hello");
      expect(errors).toEqual([]);
    } finally {
      await nats.stop();
    }
  }, 30_000);

  test("the first connection fails at once, or is retried until the server is there or the caller gives up", async () => {
    const nats = await startTestNats();
    try {
      const options = {
        url: nats.url,
        credentials: await nats.directory.controlCredentials(),
        name: "early",
        onError: () => {},
      };
      await nats.kill9();
      await expect(connectBus(options)).rejects.toThrow(`${nats.url} is out of reach`);
      const patient = connectBus({ ...options, retryUntil: new AbortController().signal });
      const impatience = new AbortController();
      const impatient = connectBus({ ...options, retryUntil: impatience.signal });
      impatience.abort();
      await expect(impatient).rejects.toThrow("is out of reach");
      await nats.restart();
      const bus = await patient;
      expect(bus.connected).toBe(true);
      await bus.close();
      const credentials = { ...options.credentials, seed: (await nats.mintService("shop", "web")).seed };
      const refused = connectBus({ ...options, credentials, retryUntil: new AbortController().signal });
      await expect(refused).rejects.toBeInstanceOf(PermissionDenied);
    } finally {
      await nats.stop();
    }
  }, 30_000);

  test("closing while the server is away ends at once", async () => {
    const nats = await startTestNats();
    try {
      const { bus } = await nats.connectControl();
      const lost = nextEvent(bus, "disconnected");
      await nats.kill9();
      await lost;
      await bus.close();
      expect(bus.client.isClosed()).toBe(true);
    } finally {
      await nats.stop();
    }
  });
});
