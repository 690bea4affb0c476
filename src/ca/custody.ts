/**
 * Where the authority's private keys live. The port is small, so that a key store or a hardware module can take the
 * place of files: it hands out keys to sign with, not their bytes. Nothing here ever logs or reports key material.
 */

import type { SigningPair } from "./authority.ts";

/** Which signing certificate. */
export type SigningRole = "root" | "issuer";

/**
 * Which of the roots that succeed each other, with the issuing certificate below it: `FIRST_GENERATION`, or the
 * beginning of the root's fingerprint.
 */
export type Generation = string;

/** The one that a mesh begins with. */
export const FIRST_GENERATION: Generation = "";

/** The generation of every later root. */
export function generationOf(fingerprint: string): Generation {
  return fingerprint.slice(0, 16);
}

/** A certificate, with its key unless that is kept elsewhere, as an offline root's is. */
export interface KeptPair {
  readonly certificatePem: string;
  /** Can sign, and not be exported. */
  readonly key: CryptoKey | undefined;
}

/** A key whose certificate somebody else has yet to sign. */
export interface PendingKey {
  readonly key: CryptoKey;
  /** PEM of the request that was made for it. */
  readonly csrPem: string;
}

/** A store of the authority's keys and certificates. */
export interface KeyCustody {
  /** Those of which a root is kept, in no particular order. */
  generations(): Promise<readonly Generation[]>;
  /** Undefined where none is kept. Rejects with `CustodyError`. */
  load(role: SigningRole, generation: Generation): Promise<KeptPair | undefined>;
  /**
   * Keeps a new pair, with a key that can be exported, unless there is one already. False: somebody else's came first,
   * and stays.
   */
  create(role: SigningRole, generation: Generation, pair: SigningPair): Promise<boolean>;
  /** Keeps a pair in place of whatever is there. */
  replace(role: SigningRole, generation: Generation, pair: SigningPair): Promise<void>;
  pending(): Promise<PendingKey | undefined>;
  /** Keeps a key, which can be exported, until `install`. */
  createPending(pending: PendingKey): Promise<void>;
  /**
   * Keeps the certificate for the pending key and the root above it, whose key is elsewhere; nothing is pending then.
   */
  install(generation: Generation, certificatePem: string, rootPem: string): Promise<void>;
}

/** What is kept cannot be used as it is. The message says why and what to do, for the person who runs the authority. */
export class CustodyError extends Error {
  override readonly name = "CustodyError";
}
