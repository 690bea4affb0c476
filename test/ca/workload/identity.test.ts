import { describe, expect, test } from "bun:test";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createIssuer, createRoot } from "../../../src/ca/authority.ts";
import { Issuer } from "../../../src/ca/issuer.ts";
import type { WorkloadCredentials } from "../../../src/ca/workload/credentials.ts";
import { createKeyAndRequest } from "../../../src/ca/workload/csr.ts";
import { createIdentity, type IdentityClock, type Signed } from "../../../src/ca/workload/identity.ts";
import { putPipe } from "../../support/pipe.ts";
import { temporaryDirectory } from "../temporary.ts";

const START = Date.parse("2026-11-01T12:00:00Z");
const HOUR_MS = 3_600_000;
/** A leaf's life, the minute of clock skew included. */
const LIFE_MS = HOUR_MS + 60_000;
const ID = "spiffe://mesh.local/ns/shop/sa/orders";

/** Time that passes when it is told to. */
class ManualClock implements IdentityClock {
  #nowMs = START;
  #timers: { dueMs: number; run: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** Lets `durationMs` pass, timers firing in their order. */
  advance(durationMs: number): void {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
    }
    this.#nowMs = endMs;
  }

  /** The machine was suspended: the time is later, no timer has run down. */
  suspend(durationMs: number): void {
    this.#nowMs += durationMs;
    for (const timer of this.#timers) timer.dueMs += durationMs;
  }
}

/** One workload with its authority in the same process, and everything that it reports. */
async function workload(stateDirectory: string, options: { random?: number; clock?: ManualClock } = {}) {
  const clock = options.clock ?? new ManualClock();
  const root = await createRoot("mesh.local", START);
  const issuer = new Issuer(await createIssuer(root, "mesh.local", START));
  const renewed: WorkloadCredentials[] = [];
  const errors: string[] = [];
  let wake = Promise.withResolvers<void>();
  const settled = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const authority = {
    spiffeId: ID,
    down: undefined as string | undefined,
    calls: 0,
    sign: async (csrPem: string): Promise<Signed> => {
      authority.calls += 1;
      if (authority.down !== undefined) throw new Error(authority.down);
      const request = { spiffeId: authority.spiffeId, ttlMs: HOUR_MS, nowMs: clock.now() };
      const leaf = await issuer.sign(csrPem, request);
      if (!leaf.ok) throw new Error(leaf.error);
      return { chainPem: leaf.value.chainPem, bundle: [root.certificatePem] };
    },
  };
  const create = () =>
    createIdentity({
      trustDomain: "mesh.local",
      namespace: "shop",
      service: "orders",
      stateDirectory,
      sign: (csrPem) => authority.sign(csrPem),
      clock,
      random: () => options.random ?? 0.5,
      onRenewed(credentials) {
        renewed.push(credentials);
        settled();
      },
      onError(message) {
        errors.push(message);
        settled();
      },
    });
  /** Lets time pass and waits for what comes of it: a renewal or an error. */
  const advanceToOutcome = async (durationMs: number) => {
    const outcome = wake.promise;
    clock.advance(durationMs);
    await outcome;
    // What follows the callback, such as setting the next timer, is done in the same turn.
    await Promise.resolve();
  };
  return { clock, root, renewed, errors, authority, create, advanceToOutcome };
}

describe("a first start", () => {
  test("asks at once, and keeps what it gets for its owner only", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, root, clock } = await workload(directory.path);
    const keeper = await create();
    expect(keeper.credentials).toBeUndefined();
    expect(keeper.status).toEqual({ notAfterMs: undefined, nextAttemptMs: START, failures: 0, lastError: undefined });
    await advanceToOutcome(0);
    expect(renewed).toHaveLength(1);
    expect(keeper.credentials).toBe(renewed[0]);
    expect(keeper.credentials).toMatchObject({
      identity: { id: ID },
      bundle: [root.certificatePem],
      notAfterMs: START + HOUR_MS,
    });
    expect(keeper.status).toMatchObject({ notAfterMs: START + HOUR_MS, failures: 0, lastError: undefined });
    await keeper.stop();
    expect(clock.pending).toBe(0);
    const path = join(directory.path, "identity.json");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("goes on asking when the authority is away, ever less often", async () => {
    await using directory = await temporaryDirectory();
    const { create, errors, authority, advanceToOutcome, clock, renewed } = await workload(directory.path);
    authority.down = "no responders";
    const keeper = await create();
    await advanceToOutcome(0);
    const delays: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      const delayMs = (keeper.status.nextAttemptMs ?? 0) - clock.now();
      delays.push(delayMs);
      await advanceToOutcome(delayMs);
    }
    // With 0.5 as chance, three quarters of 1 s, 2 s, 4 s … and at last of the limit, 60 s.
    expect(delays).toEqual([750, 1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000]);
    expect(keeper.status).toMatchObject({ failures: 10, lastError: "no responders" });
    expect(errors).toEqual(Array.from({ length: 10 }, () => "no new certificate: no responders"));
    authority.down = undefined;
    await advanceToOutcome(60_000);
    expect(renewed).toHaveLength(1);
    expect(keeper.status).toMatchObject({ failures: 0, lastError: undefined });
    await keeper.stop();
  });

  test("does not take a certificate for somebody else, or for another key", async () => {
    await using directory = await temporaryDirectory();
    const { create, errors, authority, advanceToOutcome } = await workload(directory.path);
    authority.spiffeId = "spiffe://mesh.local/ns/shop/sa/payment";
    const keeper = await create();
    await advanceToOutcome(0);
    expect(errors.at(-1)).toContain("our certificate is for spiffe://mesh.local/ns/shop/sa/payment");
    authority.spiffeId = ID;
    const earlier = Promise.withResolvers<Signed>();
    const honest = authority.sign;
    authority.sign = async (csrPem) => {
      earlier.resolve(await honest(csrPem));
      throw new Error("lost");
    };
    await advanceToOutcome(60_000);
    authority.sign = () => earlier.promise;
    await advanceToOutcome(60_000);
    expect(errors.at(-1)).toContain("our certificate is not for our key");
    expect(keeper.credentials).toBeUndefined();
    await keeper.stop();
  });
});

describe("renewal", () => {
  test.each([
    [0, 0.45],
    [0.5, 0.5],
    [0.999, 0.5499],
  ])("with chance %p at %p of the certificate's life, with a new key", async (random, part) => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, clock } = await workload(directory.path, { random });
    const keeper = await create();
    await advanceToOutcome(0);
    const dueMs = START - 60_000 + LIFE_MS * part;
    expect(keeper.status.nextAttemptMs).toBeCloseTo(dueMs, -1);
    clock.advance(dueMs - START - 1000);
    expect(renewed).toHaveLength(1);
    await advanceToOutcome(2000);
    expect(renewed).toHaveLength(2);
    expect(renewed[1]?.keyPem).not.toBe(renewed[0]?.keyPem);
    expect(renewed[1]?.notAfterMs).toBeGreaterThan(renewed[0]?.notAfterMs ?? 0);
    await keeper.stop();
  });

  test("that is overdue after a suspension comes within minutes of waking", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, clock } = await workload(directory.path);
    const keeper = await create();
    await advanceToOutcome(0);
    clock.suspend(HOUR_MS / 2 + 60_000);
    await advanceToOutcome(5 * 60_000);
    expect(renewed).toHaveLength(2);
    await keeper.stop();
  });

  test("that fails leaves the old credentials in force and says so", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, authority, advanceToOutcome } = await workload(directory.path);
    const keeper = await create();
    await advanceToOutcome(0);
    authority.down = "request timed out";
    await advanceToOutcome(HOUR_MS / 2);
    expect(keeper.credentials).toBe(renewed[0]);
    expect(keeper.status.failures).toBeGreaterThan(0);
    expect(keeper.status.lastError).toBe("request timed out");
    await keeper.stop();
  });
});

describe("a restart", () => {
  test("goes on with what is on disk, without the authority", async () => {
    await using directory = await temporaryDirectory();
    const { create, authority, advanceToOutcome, clock, errors } = await workload(directory.path);
    const first = await create();
    await advanceToOutcome(0);
    const { credentials } = first;
    await first.stop();
    authority.down = "no responders";
    clock.advance(1000);
    const second = await create();
    expect(second.credentials).toEqual(credentials);
    expect(authority.calls).toBe(1);
    expect(errors).toEqual([]);
    expect(second.status.nextAttemptMs).toBe(START - 60_000 + LIFE_MS / 2);
    await second.stop();
  });

  test.each<[string, (path: string) => Promise<void>, string]>([
    ["a file open to others", (path) => chmod(path, 0o644), "chmod 600"],
    ["half a file", async (path) => writeFile(path, (await readFile(path, "utf8")).slice(0, 200)), "not JSON"],
    ["another file", (path) => writeFile(path, '{"keyPem": "x"}'), "not what was written"],
    ["a pipe that nobody writes to", putPipe, "no regular file"],
    [
      "somebody else's chain",
      async (path) => {
        await using other = await temporaryDirectory();
        const stranger = await workload(other.path);
        const keeper = await stranger.create();
        await stranger.advanceToOutcome(0);
        await keeper.stop();
        const chainPem = keeper.credentials?.chainPem;
        await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), chainPem }));
      },
      "not for our key",
    ],
  ])("with %s asks anew, and never prints the key", async (_, damage, words) => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, errors } = await workload(directory.path);
    const first = await create();
    await advanceToOutcome(0);
    await first.stop();
    await damage(join(directory.path, "identity.json"));
    const second = await create();
    expect(second.credentials).toBeUndefined();
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(words);
    for (const line of renewed[0]?.keyPem.split("\n").slice(1, -2) ?? []) expect(errors[0]).not.toContain(line);
    await advanceToOutcome(0);
    expect(renewed).toHaveLength(2);
    await second.stop();
    const third = await create();
    expect(third.credentials).toEqual(renewed[1]);
    await third.stop();
  });

  test("after the certificate's end asks anew", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, clock, errors } = await workload(directory.path);
    await (await startedAndStopped(create, advanceToOutcome)).stop();
    clock.advance(2 * HOUR_MS);
    const second = await create();
    expect(second.credentials).toBeUndefined();
    expect(errors[0]).toContain("our certificate expired at 2026-11-01T13:00:00.000Z");
    await advanceToOutcome(0);
    expect(renewed).toHaveLength(2);
    await second.stop();
  });
});

async function startedAndStopped<T extends { stop(): Promise<void> }>(
  create: () => Promise<T>,
  advanceToOutcome: (durationMs: number) => Promise<void>,
): Promise<T> {
  const keeper = await create();
  await advanceToOutcome(0);
  await keeper.stop();
  return keeper;
}

describe("the trust bundle", () => {
  test("that a snapshot brings is in force at once, on disk, and after the next renewal", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, advanceToOutcome, root } = await workload(directory.path);
    const next = await createRoot("mesh.local", START);
    const keeper = await create();
    await advanceToOutcome(0);
    const both = [root.certificatePem, next.certificatePem];
    keeper.setBundle(both);
    expect(renewed).toHaveLength(2);
    expect(keeper.credentials?.bundle).toEqual(both);
    expect(keeper.credentials?.keyPem).toBe(renewed[0]?.keyPem ?? "");
    keeper.setBundle(both);
    expect(renewed).toHaveLength(2);
    await advanceToOutcome(HOUR_MS / 2);
    expect(renewed).toHaveLength(3);
    expect(keeper.credentials?.bundle).toEqual(both);
    await keeper.stop();
    const restarted = await create();
    expect(restarted.credentials).toEqual(renewed[2]);
    await restarted.stop();
  });

  test("is never emptied: TLS would then trust the web's authorities", async () => {
    await using directory = await temporaryDirectory();
    const { create, renewed, errors, advanceToOutcome } = await workload(directory.path);
    const keeper = await create();
    await advanceToOutcome(0);
    for (const bundle of [[], [""], ["nonsense"], [renewed[0]?.chainPem ?? ""]]) keeper.setBundle(bundle);
    expect(keeper.credentials).toBe(renewed[0]);
    expect(errors).toHaveLength(4);
    await keeper.stop();
  });
});

test("nothing happens after stop, not even the answer on its way", async () => {
  await using directory = await temporaryDirectory();
  const { create, renewed, authority, clock } = await workload(directory.path);
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const honest = authority.sign;
  authority.sign = async (csrPem) => {
    asked.resolve();
    await answer.promise;
    return honest(csrPem);
  };
  const keeper = await create();
  clock.advance(0);
  await asked.promise;
  await keeper.stop();
  answer.resolve();
  // Longer work of the same kind as what the keeper would now do.
  for (let round = 0; round < 3; round += 1) await createKeyAndRequest();
  expect(renewed).toEqual([]);
  expect(clock.pending).toBe(0);
});
