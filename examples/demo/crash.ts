/** What every crash in the story has in common: shoppers all along, and a ledger that must not lose anything. */

import type { LedgerView, Shop } from "./shop.ts";
import { hold, type Say } from "./step.ts";
import { Shoppers, type Tally } from "./traffic.ts";
import { until } from "./until.ts";

/** Pages served before a crash, without what crashed, and after: about a second of ordinary life each. */
export const PAGES = 60;

/** Runs `body` while shoppers look at the front page, and holds that not one of them was let down. */
export async function underTraffic(shop: Shop, body: (shoppers: Shoppers) => Promise<void>): Promise<Tally> {
  const shoppers = new Shoppers(shop);
  try {
    await shoppers.served(PAGES);
    await body(shoppers);
    await shoppers.served(PAGES);
  } catch (error) {
    await shoppers.stop();
    throw error;
  }
  const tally = await shoppers.stop();
  hold(
    tally.failed === 0,
    `${tally.failed} of ${tally.requests} requests failed, the first with: ${tally.firstFailure}`,
  );
  return tally;
}

/** Kills the process outright, waits until pages were served without it, and until another has taken its place. */
export async function killAndReplace(
  shoppers: Shoppers,
  what: string,
  currentPid: () => Promise<number>,
  say: Say,
): Promise<void> {
  const victim = await currentPid();
  say(`$ kill -9 ${victim}    # ${what}`);
  process.kill(victim, "SIGKILL");
  const startMs = performance.now();
  const successor = await until(`another ${what}`, async () => {
    const pid = await currentPid();
    hold(pid !== victim && isAlive(pid), "there is none yet");
    return pid;
  });
  say(`process ${successor} took its place after ${Math.round(performance.now() - startMs)} ms`);
  await shoppers.served(PAGES);
}

/** The ledger holds what it held before, and its chain is whole. */
export async function requireIntact(shop: Shop, before: LedgerView): Promise<void> {
  const after = await until("the ledger to be readable", () => shop.readLedger(before.chain.heads));
  hold(after.lastRevision === before.lastRevision, `revision ${before.lastRevision} became ${after.lastRevision}`);
  const [problem] = after.chain.problems;
  hold(problem === undefined, `the chain is broken: ${problem?.message}`);
}

/** A change goes in, and every sidecar enforces it. Resolves with its revision. */
export async function requireChange(shop: Shop, command: string, say: Say): Promise<number> {
  await shop.meshReady();
  const { revision } = await shop.shell.change(command, say);
  const enforced = (await shop.sidecar(shop.instance("web"))).revision;
  hold(enforced === revision, `web's sidecar enforces revision ${enforced}, not ${revision}`);
  return revision;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
