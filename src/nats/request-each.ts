/**
 * Many requests of one subject, under way together and answered on one subscription. The client's own request keeps a
 * promise, a timer and a token for each: that costs 30 microseconds per message that is read from a stream, this 10.
 */

import type { Msg, NatsError } from "nats";
import { NoResponders, RequestTimeout } from "./bus.ts";
import { describeError, type NatsBus } from "./nats-bus.ts";

/** The status that the server answers with where nobody listens. */
const NO_RESPONDERS = 503;

/**
 * Sends all payloads at once, and resolves with their answers in the order of the payloads. Rejects with `NoResponders`
 * where nobody listens, and with `RequestTimeout` when no answer comes for `timeoutMs` to twice that, while some are
 * missing. It is for the caller to bound how many payloads there are.
 */
export function requestEach(
  bus: NatsBus,
  subject: string,
  payloads: readonly string[],
  timeoutMs: number,
): Promise<Msg[]> {
  // The client would drop the requests and let them time out.
  if (!bus.connected) return Promise.reject(new NoResponders(`no connection to ask on ${subject}`));
  const { client } = bus;
  const inbox = bus.newInbox();
  const { promise, resolve, reject } = Promise.withResolvers<Msg[]>();
  const answers = new Array<Msg>(payloads.length);
  let missing = payloads.length;
  let heard = true;

  const take = (error: NatsError | null, message: Msg): void => {
    if (error !== null) fail(describeError(error, subject));
    else if (message.headers?.code === NO_RESPONDERS) fail(new NoResponders(`nobody answers on ${subject}`));
    else {
      heard = true;
      const index = Number(message.subject.slice(inbox.length + 1));
      // An answer that is sent twice is one.
      if (!(index in answers)) missing -= 1;
      answers[index] = message;
      if (missing === 0) finish(() => resolve(answers));
    }
  };
  const subscription = client.subscribe(`${inbox}.*`, { callback: take });
  const watch = setInterval(() => {
    if (heard) heard = false;
    else fail(new RequestTimeout(`no answer on ${subject}`));
  }, timeoutMs);
  const fail = (error: Error): void => finish(() => reject(error));
  const finish = (settle: () => void): void => {
    clearInterval(watch);
    if (!subscription.isClosed()) subscription.unsubscribe();
    settle();
  };

  for (const [index, payload] of payloads.entries()) client.publish(subject, payload, { reply: `${inbox}.${index}` });
  return promise;
}
