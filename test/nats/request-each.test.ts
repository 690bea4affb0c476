import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { NoResponders, RequestTimeout } from "../../src/nats/bus.ts";
import { requestEach } from "../../src/nats/request-each.ts";
import { startTestNats, type TestBus, type TestNats } from "../support/nats.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

describe("requests under way together", () => {
  let nats: TestNats;
  let asker: TestBus;
  let answerer: TestBus;
  beforeAll(async () => {
    nats = await startTestNats();
    asker = await nats.connectControl();
    answerer = await nats.connectControl();
  });
  afterAll(() => nats.stop());

  test("have their answers in the order of the questions, however they come", async () => {
    const asked: { respond(data: Uint8Array): boolean; data: Uint8Array }[] = [];
    answerer.bus.subscribe("heddle.backwards", (message) => {
      asked.push(message);
      if (asked.length === 300) for (const each of asked.reverse()) each.respond(each.data);
    });
    await answerer.bus.flush();
    const questions = Array.from({ length: 300 }, (_, index) => `question ${index}`);
    const answers = await requestEach(asker.bus, "heddle.backwards", questions, 10_000);
    expect(answers.map(({ data }) => text(data))).toEqual(questions);
  });

  test("count an answer that is sent twice once, and wait for the others", async () => {
    answerer.bus.subscribe("heddle.twice", (message) => {
      message.respond(message.data);
      if (text(message.data) === "a") message.respond(message.data);
    });
    await answerer.bus.flush();
    const answers = await requestEach(asker.bus, "heddle.twice", ["a", "b", "c"], 10_000);
    expect(answers.map(({ data }) => text(data))).toEqual(["a", "b", "c"]);
  });

  test("fail where nobody listens, and where one answer is missing", async () => {
    await expect(requestEach(asker.bus, "heddle.nobody-at-all", ["a", "b"], 10_000)).rejects.toBeInstanceOf(
      NoResponders,
    );
    answerer.bus.subscribe("heddle.choosy", (message) => {
      if (text(message.data) !== "b") message.respond(bytes("yes"));
    });
    await answerer.bus.flush();
    await expect(requestEach(asker.bus, "heddle.choosy", ["a", "b"], 20)).rejects.toBeInstanceOf(RequestTimeout);
  });

  test("are refused at once without a connection", async () => {
    const { bus } = await nats.connectControl();
    await bus.close();
    await expect(requestEach(bus, "heddle.closed", ["a"], 10_000)).rejects.toBeInstanceOf(NoResponders);
  });
});
