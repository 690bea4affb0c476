/**
 * Brings to the NATS servers what the ledger says of who may connect: issues JWTs for the keys that it names, and has
 * those revoked that it names no longer. Any number of replicas may do so. Where no replica was given the accounts'
 * keys, nothing is done here, and whoever keeps those keys has to do both.
 */

import type { MeshState } from "../events/state.ts";
import type { Accounts } from "../nats/accounts.ts";
import { FOR_GOOD, type VoidKeys } from "../nats/trust.ts";
import { backoffMs, messageOf, pause } from "../projections/backoff.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { CredentialsReply } from "./protocol.ts";

/** How long an answer about a revoked key waits for the servers to have heard of it. */
const ENFORCED_TIMEOUT_MS = 5_000;

/** How far a server's clock may be behind, by which a token may outlive its end there. */
const CLOCKS_DIFFER_MS = 86_400_000;

export interface CredentialServiceOptions {
  /** Absent where this replica was not given the accounts' keys. */
  readonly accounts: Accounts | undefined;
  readonly state: () => MeshState;
  /** The state that includes every change until now. */
  readonly latest: () => Promise<MeshState>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

export class CredentialService {
  readonly #options: CredentialServiceOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** The keys that the servers have been told of. */
  #enforced: MeshState["revokedKeys"] | undefined;
  #ailment: string | undefined;
  #started = false;

  constructor(options: CredentialServiceOptions) {
    this.#options = options;
    if (options.accounts === undefined) {
      this.#ailment = "this replica has no keys of the NATS accounts: what is revoked, the servers are not told";
    }
  }

  /** Why the servers may still admit a key that was revoked; undefined when they know of every revocation. */
  get ailment(): string | undefined {
    return this.#ailment;
  }

  /** From now on there is a state, and the servers are told of it. */
  start(): void {
    this.#started = true;
    this.check();
  }

  /** To be called when keys may have been revoked, and when the servers may have been replaced. */
  check({ again = false }: { readonly again?: boolean } = {}): void {
    if (again) this.#enforced = undefined;
    const { accounts } = this.#options;
    if (accounts === undefined || !this.#started || this.#stopping.signal.aborted) return;
    this.#running ??= this.#enforce(accounts);
  }

  /** What is to be known of a key: its JWT, or that it is void. */
  async answer(publicKey: string): Promise<CredentialsReply> {
    const { accounts } = this.#options;
    const { operators, tokens, revokedKeys } = await this.#options.latest();
    if (revokedKeys.has(publicKey)) return { kind: "revoked", ...(await this.#enforcement()) };
    const operator = operators.get(publicKey);
    const token = tokens.get(publicKey);
    if (operator === undefined && token === undefined) return { kind: "unknown" };
    if (accounts === undefined) return { kind: "keyless" };
    if (operator !== undefined) return { kind: "valid", jwt: await accounts.operatorJwt(operator, publicKey) };
    if (token === undefined) return { kind: "unknown" };
    const expiresMs = token.expiresAt === undefined ? undefined : Date.parse(token.expiresAt);
    return { kind: "valid", jwt: await accounts.serviceJwt({ ...token, expiresMs }, publicKey) };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Whether the servers know what was revoked until now, which they are given a moment for. */
  async #enforcement(): Promise<{ readonly enforced: boolean; readonly why?: string }> {
    this.check();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, ENFORCED_TIMEOUT_MS);
    await Promise.race([this.#running, late.promise]).finally(() => clearTimeout(timer));
    const why = this.#ailment;
    if (why !== undefined) return { enforced: false, why };
    const enforced = this.#enforced === this.#options.state().revokedKeys;
    return enforced ? { enforced } : { enforced, why: "the NATS servers have not answered yet" };
  }

  /** Tells the servers until they know it all. */
  async #enforce(accounts: Accounts): Promise<void> {
    const { state, random, logger } = this.#options;
    const { signal } = this.#stopping;
    // Whoever starts this has to know of it before it can end.
    await Promise.resolve();
    let failures = 0;
    while (this.#enforced !== state().revokedKeys && !signal.aborted) {
      const { revokedKeys } = state();
      try {
        await accounts.enforce(voidKeys(revokedKeys));
        this.#enforced = revokedKeys;
        this.#ailment = undefined;
        failures = 0;
      } catch (error) {
        // Servers that cannot be told at all would have it said every few seconds.
        if (this.#ailment !== messageOf(error)) {
          logger.warn({ err: error }, "the NATS servers could not be told who is revoked; trying again");
        }
        this.#ailment = messageOf(error);
        failures += 1;
        await pause(backoffMs(failures, random), signal);
      }
    }
    // Right after the last look, with nothing awaited between: whoever checks next starts a new run.
    this.#running = undefined;
  }
}

/** Past its end no JWT of a token is good; and none is issued after that. */
function voidKeys(revokedKeys: MeshState["revokedKeys"]): VoidKeys {
  const until = (expiresAt: string | undefined): number => {
    return expiresAt === undefined ? FOR_GOOD : Math.ceil((Date.parse(expiresAt) + CLOCKS_DIFFER_MS) / 1000);
  };
  return new Map([...revokedKeys].map(([publicKey, { expiresAt }]) => [publicKey, until(expiresAt)]));
}
