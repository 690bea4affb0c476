/** Tokens for workers: those of the instance from a bucket here, those of the mesh by asking on. */

import { expect, test } from "bun:test";
import {
  type QuotaReply,
  type QuotaRequest,
  rateLimitId,
  type ServiceSnapshot,
  type SnapshotRateLimit,
} from "../../../src/projections/snapshot.ts";
import { WorkerQuota } from "../../../src/proxy/sidecar/workers/worker-quota.ts";

const limit = (document: string, more: Partial<SnapshotRateLimit> = {}): SnapshotRateLimit => ({
  match: [],
  requests: 10,
  perMs: 1_000,
  burst: 0,
  bySource: true,
  origin: { document: `shop/${document}`, rule: 0, revision: 1, actor: "ada" },
  ...more,
});
/** Of the limit that was last put in force for a document. */
const ids = new Map<string, string>();
const snapshotOf = (...rateLimits: SnapshotRateLimit[]) => {
  for (const one of rateLimits) ids.set(one.origin.document.replace("shop/", ""), rateLimitId(one));
  return { inbound: { rateLimits } } as unknown as ServiceSnapshot;
};
const lease = (document: string, wanted: number, owed = 0, bucket = "shop/web"): QuotaRequest["leases"][number] => ({
  document,
  rule: 0,
  limit: ids.get(document) ?? "gone",
  bucket,
  owed,
  wanted,
});

function quota(askMesh?: (request: QuotaRequest) => Promise<QuotaReply>) {
  const clock = { nowMs: 0 };
  const one = new WorkerQuota(askMesh, () => clock.nowMs);
  const ask = async (...leases: QuotaRequest["leases"]) => (await one.answer({ leases })).grants;
  return { one, ask, clock };
}

test("all workers draw from one bucket, which fills as a limit says", async () => {
  const { one, ask, clock } = quota();
  one.enforce(snapshotOf(limit("a")));
  expect(await ask(lease("a", 4))).toEqual([{ granted: 4, retryAfterMs: 0 }]);
  expect(await ask(lease("a", 9))).toEqual([{ granted: 6, retryAfterMs: 1_000 }]);
  // Another caller has a bucket of its own.
  expect(await ask(lease("a", 1, 0, "shop/other"))).toMatchObject([{ granted: 1 }]);
  clock.nowMs = 1_000;
  expect(await ask(lease("a", 20))).toMatchObject([{ granted: 10 }]);
});

test("what was spent on credit is paid before anything is granted, by later intervals if need be", async () => {
  const { one, ask, clock } = quota();
  one.enforce(snapshotOf(limit("a")));
  expect(await ask(lease("a", 5, 12))).toEqual([{ granted: 0, retryAfterMs: 1_000 }]);
  expect(await ask(lease("a", 5, 12, "shop/deep"))).toEqual([{ granted: 0, retryAfterMs: 1_000 }]);
  expect(await ask(lease("a", 5, 18, "shop/deep"))).toEqual([{ granted: 0, retryAfterMs: 3_000 }]);
  clock.nowMs = 1_000;
  expect(await ask(lease("a", 20))).toMatchObject([{ granted: 8 }]);
});

test("a limit that did not change keeps its bucket in another snapshot; a rule that is gone grants nothing", async () => {
  const { one, ask } = quota();
  one.enforce(snapshotOf(limit("a"), limit("b")));
  await ask(lease("a", 10), lease("b", 10));
  one.enforce(snapshotOf(limit("a"), limit("b", { requests: 20 })));
  expect(await ask(lease("a", 1), lease("b", 1), lease("c", 1))).toMatchObject([
    { granted: 0 },
    { granted: 1 },
    { granted: 0, retryAfterMs: 1_000 },
  ]);
});

test("limits of the mesh are asked for in their own place; no answer is one for all", async () => {
  const asked: QuotaRequest[] = [];
  let away = false;
  const { one, ask } = quota(async (request) => {
    asked.push(request);
    if (away) throw new Error("away");
    return { grants: request.leases.map(() => ({ granted: 3, retryAfterMs: 7 })) };
  });
  one.enforce(snapshotOf(limit("a"), limit("wide", { scope: "mesh" })));
  expect(await ask(lease("wide", 5), lease("a", 2))).toEqual([
    { granted: 3, retryAfterMs: 7 },
    { granted: 2, retryAfterMs: 0 },
  ]);
  expect(asked).toEqual([{ leases: [lease("wide", 5)] }]);
  away = true;
  expect(ask(lease("wide", 5))).rejects.toThrow("away");
});
