/** Waiting for a revision while replicas come and go. */

import { expect, test } from "bun:test";
import { askWait, type CommandSender } from "../../src/cli/mesh/command-client.ts";
import { NoResponders, RequestTimeout } from "../../src/nats/bus.ts";
import { mintOperatorUser } from "../../src/nats/credentials.ts";
import { createTrust } from "../../src/nats/trust.ts";

const APPLIED = { applied: true, lagging: [] };
const LAGGING = { applied: false, lagging: [{ instance: "i", service: "shop/web", revision: 1, why: "behind" }] };

/** Somebody whose questions get these answers, one after the other; pings are always answered. */
async function senderOf(answers: (object | Error)[]): Promise<CommandSender & { readonly asked: () => number }> {
  const trust = await createTrust();
  const credentials = await mintOperatorUser(trust, { name: "alice", role: "admin", namespaces: [] });
  const left = [...answers];
  const request = async (subject: string): Promise<Uint8Array> => {
    if (subject.endsWith(".ping")) return new Uint8Array();
    const answer = left.shift();
    if (answer === undefined || answer instanceof Error) throw answer ?? new NoResponders("nobody is left");
    return new TextEncoder().encode(JSON.stringify(answer));
  };
  const bus = { request } as unknown as CommandSender["bus"];
  return { bus, credentials, asked: () => answers.length - left.length };
}

test("is asked anew where the replica has gone, or stops before the time is up", async () => {
  const sender = await senderOf([new RequestTimeout("gone"), LAGGING, APPLIED]);
  expect(await askWait(sender, { revision: 2, timeoutMs: 600_000 })).toEqual(APPLIED);
  expect(sender.asked()).toBe(3);
});

test("ends with who lags when the time is up, and at once where no replica is there", async () => {
  const late = await senderOf([LAGGING, APPLIED]);
  expect(await askWait(late, { revision: 2, timeoutMs: 0 })).toEqual(LAGGING);
  expect(late.asked()).toBe(1);
  await expect(askWait(await senderOf([]), { revision: 2, timeoutMs: 600_000 })).rejects.toThrow(
    "no control replica answers",
  );
});

test("does not take a question for a command that may have been carried out", async () => {
  const sender = await senderOf([new RequestTimeout("gone")]);
  await expect(askWait(sender, { revision: 2, timeoutMs: 0 })).rejects.toThrow(/^no answer within 5 s$/);
});
