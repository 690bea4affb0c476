/** Whether a revision is in force everywhere, in words. */

import type { WaitReply } from "../../control/protocol.ts";
import { Failure } from "../failure.ts";
import { note, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { askStatus, askWait } from "./command-client.ts";
import type { OperatorContext } from "./context.ts";

/** Waits for a revision to be enforced. Says who lags and why, where it is not. Rejects as `sendCommand` does. */
export async function awaitRevision(context: OperatorContext, revision: number, timeoutMs: number): Promise<WaitReply> {
  const reply = await askWait(context, { revision, timeoutMs });
  note(await convergenceWords(context, revision, reply));
  return reply;
}

/** Throws `Failure` unless the revision is enforced. What lags has been said. */
export function requireApplied(revision: number, { applied, lagging }: WaitReply): void {
  if (applied) return;
  const who = lagging.length === 1 ? "1 instance does" : `${lagging.length} instances do`;
  throw new Failure(`${who} not enforce revision ${revision} yet; it stays in force for the rest, and in the ledger`);
}

/** As `convergenceText`; but where nobody is connected, nobody enforces anything, and that is what has to be said. */
export async function convergenceWords(
  context: Pick<OperatorContext, "bus" | "credentials">,
  revision: number,
  reply: WaitReply,
): Promise<string> {
  const mayBeNobody = reply.applied && reply.convergenceMs === undefined && reply.lagging.length === 0;
  if (!mayBeNobody) return convergenceText(revision, reply);
  const status = await askStatus(context).catch(() => undefined);
  const isNobody = status?.instances.every(({ connected }) => !connected) === true;
  return isNobody
    ? `revision ${revision} is in force, but no instance is connected yet`
    : convergenceText(revision, reply);
}

/** The outcome of a wait in one sentence, with who lags and why. */
export function convergenceText(revision: number, { applied, convergenceMs, lagging }: WaitReply): string {
  if (applied) {
    const after = convergenceMs === undefined ? "" : `, ${Math.round(convergenceMs)} ms after it was appended`;
    const away = lagging.length === 0 ? "" : `; ${lagging.length} disconnected will follow`;
    return `revision ${revision} is enforced by every connected instance${after}${away}`;
  }
  const rows = lagging.map(({ instance, service, revision: has, why }) => [
    safeText(service),
    safeText(instance),
    String(has),
    safeText(why),
  ]);
  return table(["service", "instance", "enforces", "why"], rows).trimEnd();
}
