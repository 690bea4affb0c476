/** The authority that signs at the moment: opened again to renew its issuing certificate, and when another root does. */

import { CustodyError, type KeyCustody } from "./custody.ts";
import type { Issuer } from "./issuer.ts";
import { type Authority, nextAuthority, openAuthorityIn } from "./open-authority.ts";

export interface KeeperOptions {
  readonly custody: KeyCustody;
  readonly trustDomain: string;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export class AuthorityKeeper {
  readonly #options: KeeperOptions;
  #current: Authority;
  /** Fingerprint of the root that is to sign, whether it can or not. */
  #wanted: string;
  /** Why nothing can be signed; undefined: it can. */
  #fault: Error | undefined;
  #onAvailability: ((available: boolean) => void) | undefined;

  private constructor(options: KeeperOptions, current: Authority) {
    this.#options = options;
    this.#current = current;
    this.#wanted = current.rootFingerprint;
  }

  /** @param root fingerprint of the root that signs by the ledger, if that has one. Rejects with `CustodyError`. */
  static async open(options: KeeperOptions, root: string | undefined): Promise<AuthorityKeeper> {
    const { custody, trustDomain, now } = options;
    return new AuthorityKeeper(options, await openAuthorityIn(custody, { trustDomain, nowMs: now(), root }));
  }

  /** The last one that could be opened. */
  get current(): Authority {
    return this.#current;
  }

  /** Why nothing can be signed here; undefined: it can. */
  get fault(): string | undefined {
    return this.#fault?.message;
  }

  /** Calls `listener` when nothing can be signed here any more, and when something can again. */
  onAvailability(listener: (available: boolean) => void): void {
    this.#onAvailability = listener;
  }

  /** What signs. Throws `CustodyError` while that is another root's than the one that is to sign. */
  get issuer(): Issuer {
    if (this.#fault !== undefined) throw this.#fault;
    return this.#current.issuer;
  }

  /** Signs under this root from now on, or nothing at all where it cannot be opened: then rejects with `CustodyError`. */
  async use(root: string): Promise<void> {
    this.#wanted = root;
    try {
      const opened = await this.open(root);
      // Another one is to sign since.
      if (this.#wanted !== root) return;
      this.#current = opened;
      this.#setFault(undefined);
    } catch (error) {
      const isOther = this.#wanted === root && this.#current.rootFingerprint !== root;
      if (isOther) this.#setFault(error instanceof Error ? error : new CustodyError(String(error)));
      throw error;
    }
  }

  /** Opens it again: a new issuing certificate may be due, or keys have come. Never goes back to a root that signs no more. */
  renew(): Promise<void> {
    return this.use(this.#wanted);
  }

  #setFault(fault: Error | undefined): void {
    const changes = (this.#fault === undefined) !== (fault === undefined);
    this.#fault = fault;
    if (changes) this.#onAvailability?.(fault === undefined);
  }

  /** The authority under a root, whether it signs or not. Rejects with `CustodyError` where its keys are not here. */
  open(root: string): Promise<Authority> {
    const { custody, trustDomain, now } = this.#options;
    return openAuthorityIn(custody, { trustDomain, nowMs: now(), root });
  }

  /** @see nextAuthority */
  prepareNext(known: ReadonlySet<string>): Promise<Authority> {
    const { custody, trustDomain, now } = this.#options;
    const { isExternal } = this.#current;
    return nextAuthority(custody, known, { trustDomain, nowMs: now(), isExternal });
  }
}
