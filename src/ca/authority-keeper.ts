/** The authority that signs at the moment: opened again to renew its issuing certificate, and when another root does. */

import { CustodyError, generationOf, type KeyCustody } from "./custody.ts";
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
  /** Why nothing can be signed; undefined: it can. */
  #fault: Error | undefined;

  private constructor(options: KeeperOptions, current: Authority) {
    this.#options = options;
    this.#current = current;
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

  /** What signs. Throws `CustodyError` while that is another root's than the one that is to sign. */
  get issuer(): Issuer {
    if (this.#fault !== undefined) throw this.#fault;
    return this.#current.issuer;
  }

  /** Signs under this root from now on, or nothing at all where it cannot be opened: then rejects with `CustodyError`. */
  async use(root: string): Promise<void> {
    try {
      this.#current = await this.open(root);
      this.#fault = undefined;
    } catch (error) {
      const isOther = this.#current.rootFingerprint !== root;
      if (isOther) this.#fault = error instanceof Error ? error : new CustodyError(String(error));
      throw error;
    }
  }

  /** The authority under a root, whether it signs or not. Rejects with `CustodyError` where its keys are not here. */
  async open(root: string): Promise<Authority> {
    const { custody, trustDomain, now } = this.#options;
    const authority = await openAuthorityIn(custody, { trustDomain, nowMs: now(), root });
    if (authority.rootFingerprint === root) return authority;
    const generation = generationOf(root);
    throw new CustodyError(
      `the keys of the root ${generation} are not here: copy issuer-${generation}.pem and root-${generation}.pem from the control replica that has them`,
    );
  }

  /** @see nextAuthority */
  prepareNext(known: ReadonlySet<string>): Promise<Authority> {
    const { custody, trustDomain, now } = this.#options;
    const { isExternal } = this.#current;
    return nextAuthority(custody, known, { trustDomain, nowMs: now(), isExternal });
  }
}
