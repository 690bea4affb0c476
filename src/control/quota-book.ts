/**
 * What is left of the rate limits that all instances of a service share. Every replica hears every request and keeps
 * the same book, so that no replica is special, no election is needed and any of them may die; their books differ by
 * the messages that are under way. A replica that has just started takes every bucket for full.
 */

/** Of one rule. */
export interface QuotaRate {
  readonly requests: number;
  readonly perMs: number;
  readonly burst: number;
}

interface Account {
  tokens: number;
  filledMs: number;
  rate: QuotaRate;
}

/** Buckets that are kept; the one that was used least lately goes first. */
const ACCOUNTS_MAX = 100_000;

export class QuotaBook {
  readonly #accounts = new Map<string, Account>();

  /**
   * Takes what is owed, whether it is there or not, and then what is wanted as far as it is there.
   * @param key names the bucket.
   * @param nowMs milliseconds of a clock that never goes back.
   */
  lease(key: string, rate: QuotaRate, asked: { owed: number; wanted: number }, nowMs: number) {
    const account = this.#account(key, rate, nowMs);
    account.tokens -= asked.owed;
    const granted = Math.max(0, Math.min(asked.wanted, Math.floor(account.tokens)));
    account.tokens -= granted;
    // What was spent on credit may take more than the next interval to pay.
    const intervals = Math.max(1, Math.ceil((1 - account.tokens) / rate.requests));
    const retryAfterMs = granted < asked.wanted ? account.filledMs + intervals * rate.perMs - nowMs : 0;
    return { granted, retryAfterMs };
  }

  #account(key: string, rate: QuotaRate, nowMs: number): Account {
    const known = this.#accounts.get(key);
    this.#accounts.delete(key);
    const whole = rate.requests + rate.burst;
    const account = known ?? { tokens: whole, filledMs: nowMs, rate };
    if (
      account.rate.requests !== rate.requests ||
      account.rate.perMs !== rate.perMs ||
      account.rate.burst !== rate.burst
    ) {
      // Another limit: nothing that was counted for the one before holds.
      Object.assign(account, { tokens: whole, filledMs: nowMs, rate });
    }
    const intervals = Math.floor((nowMs - account.filledMs) / rate.perMs);
    if (intervals > 0) {
      account.tokens = Math.min(whole, account.tokens + intervals * rate.requests);
      account.filledMs += intervals * rate.perMs;
    }
    this.#accounts.set(key, account);
    if (this.#accounts.size > ACCOUNTS_MAX) this.#forgetOldest();
    return account;
  }

  #forgetOldest(): void {
    for (const key of this.#accounts.keys()) {
      this.#accounts.delete(key);
      return;
    }
  }
}
