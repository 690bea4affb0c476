/**
 * Key sets of token issuers (RFC 7517 §5), fetched ahead of need and kept: a request waits for a fetch only when its
 * key is not known, and for none more often than every `jwksRefetchMs`. When an issuer is out of reach, the keys last
 * seen serve on for a while.
 */

import type { createLocalJWKSet, JSONWebKeySet } from "jose";
import { z } from "zod";
import type { CellFamily } from "../../telemetry/metric-family.ts";
import { Timer } from "../io/timers.ts";
import type { Runtime } from "../runtime.ts";

/** How often keys are fetched anew; issuers publish a key well before they sign with it. */
const REFRESH_MS = 5 * 60_000;
/** After a failure, doubled with each further one, up to `REFRESH_MS`. */
const RETRY_MS = 1_000;
/** Keys that could not be fetched anew for this long are no longer used. */
const STALE_MS = 24 * 3_600_000;
const FETCH_TIMEOUT_MS = 5_000;
const BODY_BYTES_MAX = 256 * 1024;
const KEYS_MAX = 100;

export type KeySet = ReturnType<typeof createLocalJWKSet>;

const jwks = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })).max(KEYS_MAX) });

interface Entry {
  readonly uri: string;
  readonly timer: Timer;
  keys: KeySet | undefined;
  /** Monotonic milliseconds. */
  fetchedMs: number;
  triedMs: number;
  failures: number;
  pending: Promise<void> | undefined;
}

export interface JwksCacheOptions {
  readonly runtime: Runtime;
  readonly fetched: CellFamily<"uri" | "result">;
  readonly onFailed: (uri: string, reason: string) => void;
}

/** For whoever compiles policy without enforcing it. */
export const NO_KEYS: Pick<JwksCache, "keysAt" | "lookAgain"> = {
  keysAt: async () => undefined,
  lookAgain: async () => false,
};

export class JwksCache {
  readonly #options: JwksCacheOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: JwksCacheOptions) {
    this.#options = options;
  }

  /** Keeps the key sets at exactly these addresses, from now on. */
  follow(uris: readonly string[]): void {
    for (const [uri, entry] of this.#entries) {
      if (uris.includes(uri)) continue;
      entry.timer.cancel();
      this.#entries.delete(uri);
    }
    for (const uri of uris) {
      if (this.#entries.has(uri)) continue;
      const timer = new Timer(() => void this.#refresh(entry));
      const [fetchedMs, triedMs] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
      const entry: Entry = { uri, timer, keys: undefined, fetchedMs, triedMs, failures: 0, pending: undefined };
      this.#entries.set(uri, entry);
      void this.#refresh(entry);
    }
  }

  /** The keys at an address, once they are there; undefined where they cannot be had. */
  async keysAt(uri: string): Promise<KeySet | undefined> {
    const entry = this.#entries.get(uri);
    if (entry?.keys === undefined) await entry?.pending;
    const isFresh = entry !== undefined && this.#options.runtime.monotonicMs() - entry.fetchedMs < STALE_MS;
    return isFresh ? entry.keys : undefined;
  }

  /** Looks again for a key that was not there. False: that was done a moment ago. */
  async lookAgain(uri: string): Promise<boolean> {
    const entry = this.#entries.get(uri);
    if (entry === undefined) return false;
    if (entry.pending === undefined) {
      const { monotonicMs, limits } = this.#options.runtime;
      if (monotonicMs() - entry.triedMs < limits.jwksRefetchMs) return false;
      void this.#refresh(entry);
    }
    await entry.pending;
    return true;
  }

  close(): void {
    this.follow([]);
  }

  /** Never rejects. */
  #refresh(entry: Entry): Promise<void> {
    entry.pending ??= this.#fetch(entry).finally(() => {
      entry.pending = undefined;
    });
    return entry.pending;
  }

  async #fetch(entry: Entry): Promise<void> {
    const { runtime, fetched, onFailed } = this.#options;
    entry.triedMs = runtime.monotonicMs();
    try {
      const { createLocalJWKSet } = await import("jose");
      entry.keys = createLocalJWKSet(await fetchKeySet(entry.uri));
      entry.fetchedMs = runtime.monotonicMs();
      entry.failures = 0;
      fetched.cell({ uri: entry.uri, result: "ok" }).value++;
    } catch (error) {
      entry.failures++;
      fetched.cell({ uri: entry.uri, result: "failed" }).value++;
      onFailed(entry.uri, error instanceof Error ? error.message : String(error));
    }
    if (this.#entries.get(entry.uri) !== entry) return;
    const backoffMs = entry.failures === 0 ? REFRESH_MS : Math.min(REFRESH_MS, RETRY_MS * 2 ** (entry.failures - 1));
    // Jitter, so that the sidecars of a mesh do not ask all at once.
    runtime.timers.arm(entry.timer, backoffMs * (0.75 + runtime.random() / 4));
  }
}

/** Redirects are not followed: they would lead to keys that policy does not name. */
async function fetchKeySet(uri: string): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const response = await fetch(uri, { redirect: "error", signal, headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`answered with ${response.status}`);
  const { keys } = jwks.parse(JSON.parse(await boundedText(response)));
  // Keys to encrypt with, and secrets, verify nothing.
  const usable = keys.filter(({ kty, use }) => ["RSA", "EC", "OKP"].includes(kty) && (use ?? "sig") === "sig");
  if (usable.length === 0) throw new Error("has no key that verifies signatures");
  return { keys: usable };
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) throw new Error(`has more than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
