/**
 * Keeps a workload's credentials fresh: loads what an earlier run left, asks for new ones at half life, goes on asking
 * when that fails, and tells whoever listens. The key is made here, anew for every certificate, and stays here.
 */

import { assembleCredentials, loadCredentials, saveCredentials, type WorkloadCredentials } from "./credentials.ts";
import { createKeyAndRequest } from "./csr.ts";
import { parseBundle } from "./pem.ts";
import { type Identity, workloadIdentity } from "./spiffe-id.ts";

/** What the authority answers. */
export interface Signed {
  /** Leaf, then issuing certificate. */
  readonly chainPem: string;
  /** PEM of every root to trust. */
  readonly bundle: readonly string[];
}

export interface IdentityClock {
  /** Unix milliseconds. */
  now(): number;
  /** Calls `run` once after `delayMs`; what it returns calls that off. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemClock: IdentityClock = {
  now: Date.now,
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface IdentityOptions {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
  /** Where credentials are kept, readable by their owner only. */
  readonly stateDirectory: string;
  /** Has a request (PEM) signed. Must settle: the next attempt waits for it. */
  readonly sign: (csrPem: string) => Promise<Signed>;
  readonly clock: IdentityClock;
  /** In [0, 1), for jitter. */
  readonly random: () => number;
  /** New credentials are in force: after each renewal, and when the trust bundle has changed. */
  readonly onRenewed: (credentials: WorkloadCredentials) => void;
  /** An attempt to get a certificate has ended; `failures`: how many have failed in a row. For metrics. */
  readonly onAttempt?: (failures: number) => void;
  /** Something failed; it is tried again. For the log. */
  readonly onError: (message: string) => void;
}

/** For metrics and the admin page. */
export interface IdentityStatus {
  /** End of the credentials in force, Unix milliseconds; undefined: there are none. */
  readonly notAfterMs: number | undefined;
  /** When the next attempt is due; undefined: one is under way, or all is stopped. */
  readonly nextAttemptMs: number | undefined;
  /** Attempts that failed since the last success. */
  readonly failures: number;
  /** Of the last attempt; undefined once one succeeds. */
  readonly lastError: string | undefined;
}

/** Part of the certificate's life over which renewals of many workloads are spread, around its middle. */
const RENEWAL_SPREAD = 0.1;
const RETRY_MIN_MS = 1_000;
/** A control plane that comes back is not waited for longer than this. */
const RETRY_MAX_MS = 60_000;
/**
 * No timer is set for longer. Timers stand still while a machine is suspended and certificates do not; they also
 * overflow at 24 days.
 */
const SLEEP_MAX_MS = 300_000;

/**
 * Starts keeping the identity of one workload. Resolves when the disk has been read: `credentials` are there if an
 * earlier run left good ones, else they are on their way and `onRenewed` tells when. Throws for names that are none.
 */
export async function createIdentity(options: IdentityOptions): Promise<IdentityKeeper> {
  const identity = workloadIdentity(options.trustDomain, options.namespace, options.service);
  const stored = await loadCredentials(options.stateDirectory, identity, options.clock.now());
  if (!stored.ok) options.onError(stored.error);
  return new IdentityKeeper(options, identity, stored.ok ? stored.value : undefined);
}

export class IdentityKeeper {
  readonly identity: Identity;
  readonly #options: IdentityOptions;
  #credentials: WorkloadCredentials | undefined;
  /** The bundle that the control plane has pushed: newer than what a reply to a request brings along. */
  #pushedBundle: readonly string[] | undefined;
  #failures = 0;
  #lastError: string | undefined;
  #nextAttemptMs: number | undefined;
  #cancelTimer: () => void = () => {};
  #saved: Promise<void> = Promise.resolve();
  #stopped = false;

  /** Use `createIdentity`. */
  constructor(options: IdentityOptions, identity: Identity, stored: WorkloadCredentials | undefined) {
    this.#options = options;
    this.identity = identity;
    this.#credentials = stored;
    this.#attemptAt(stored === undefined ? options.clock.now() : this.#renewalTime(stored));
  }

  /** What to set up TLS from; undefined until the first certificate is there. */
  get credentials(): WorkloadCredentials | undefined {
    return this.#credentials;
  }

  get status(): IdentityStatus {
    return {
      notAfterMs: this.#credentials?.notAfterMs,
      nextAttemptMs: this.#nextAttemptMs,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  /**
   * Puts a trust bundle in force that a snapshot has brought; it holds until the next one. One that is empty or broken
   * is refused, reported, and changes nothing.
   */
  setBundle(roots: readonly string[]): void {
    const bundle = parseBundle(roots.join("\n"));
    if (!bundle.ok) {
      this.#options.onError(bundle.error);
      return;
    }
    this.#pushedBundle = bundle.value;
    const current = this.#credentials;
    if (current === undefined || current.bundle.join() === bundle.value.join()) return;
    this.#enforce({ ...current, bundle: bundle.value });
  }

  /**
   * Asks for a new certificate after `delayMs`, unless that is under way: the one in force is no longer good, or what
   * kept the authority from signing may be over.
   */
  renew(delayMs = 0): void {
    if (this.#stopped || this.#nextAttemptMs === undefined) return;
    this.#cancelTimer();
    this.#attemptAt(this.#options.clock.now() + delayMs);
  }

  /** Asks for nothing more. Resolves when what was being written to disk is there. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#nextAttemptMs = undefined;
    this.#cancelTimer();
    return this.#saved;
  }

  #attemptAt(timeMs: number): void {
    if (this.#stopped) return;
    this.#nextAttemptMs = timeMs;
    const { clock } = this.#options;
    const delayMs = Math.min(Math.max(timeMs - clock.now(), 0), SLEEP_MAX_MS);
    this.#cancelTimer = clock.after(delayMs, () => {
      if (clock.now() < timeMs) this.#attemptAt(timeMs);
      else void this.#attempt();
    });
  }

  async #attempt(): Promise<void> {
    this.#nextAttemptMs = undefined;
    const outcome = await this.#request().catch((error: unknown) => ({
      ok: false as const,
      error: error instanceof Error ? error.message : String(error),
    }));
    if (this.#stopped) return;
    if (outcome.ok) {
      this.#failures = 0;
      this.#lastError = undefined;
      this.#options.onAttempt?.(0);
      // First, so that whoever is told may ask for another one sooner.
      this.#attemptAt(this.#renewalTime(outcome.value));
      this.#enforce(outcome.value);
    } else {
      this.#failures += 1;
      this.#lastError = outcome.error;
      this.#options.onAttempt?.(this.#failures);
      this.#options.onError(`no new certificate: ${outcome.error}`);
      this.#attemptAt(this.#options.clock.now() + this.#retryDelay());
    }
  }

  async #request() {
    const { keyPem, csrPem } = await createKeyAndRequest();
    const signed = await this.#options.sign(csrPem);
    const bundle = this.#pushedBundle ?? signed.bundle;
    const parts = { keyPem, chainPem: signed.chainPem, bundle };
    return assembleCredentials(parts, this.identity, this.#options.clock.now());
  }

  #enforce(credentials: WorkloadCredentials): void {
    this.#credentials = credentials;
    this.#saved = this.#saved
      // One after the other, and always the latest: writes that overtake each other would leave an old file.
      .then(() => saveCredentials(this.#options.stateDirectory, this.#credentials ?? credentials))
      .catch((error: unknown) => this.#options.onError(`credentials are not on disk: ${String(error)}`));
    this.#options.onRenewed(credentials);
  }

  /** The middle of the certificate's life, give or take, so that workloads that started together part. */
  #renewalTime({ notBeforeMs, notAfterMs }: WorkloadCredentials): number {
    const part = 0.5 + RENEWAL_SPREAD * (this.#options.random() - 0.5);
    return notBeforeMs + (notAfterMs - notBeforeMs) * part;
  }

  /** Doubles from attempt to attempt up to a limit; half of it is chance, so that a crowd does not come back at once. */
  #retryDelay(): number {
    const ceilingMs = Math.min(RETRY_MIN_MS * 2 ** (this.#failures - 1), RETRY_MAX_MS);
    return ceilingMs * (0.5 + 0.5 * this.#options.random());
  }
}
