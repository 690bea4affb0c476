/**
 * nkeys: Ed25519 keys in NATS's own text form (`U…` public, `SU…` seed). An operator's commands are signed with the
 * same key that the operator connects with, so that the server's permissions and the ledger's signatures name one
 * actor.
 */

import { createPublicKey, verify as verifySignature } from "node:crypto";
import { createUser, fromPublic, fromSeed } from "@nats-io/nkeys";

/** A user's key pair as text. The seed is the secret. */
export interface UserKey {
  readonly publicKey: string;
  readonly seed: string;
}

/** User nkeys: the prefix `U` and 55 characters of base32 (32 bytes of key, 2 of checksum). */
const USER_PUBLIC_KEY = /^U[A-Z2-7]{55}$/;

/** Checks the form only, not the checksum. */
export function isUserPublicKey(text: string): boolean {
  return USER_PUBLIC_KEY.test(text);
}

/** A new user key from the system's source of randomness. */
export function createUserKey(): UserKey {
  const pair = createUser();
  return { publicKey: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) };
}

/** The public key of any seed. Throws `NKeysError` for text that is no seed. */
export function publicKeyOf(seed: string): string {
  return fromSeed(new TextEncoder().encode(seed)).getPublicKey();
}

/** Ed25519 signature (RFC 8032, 64 bytes) over `bytes`. Throws `NKeysError` for text that is no seed. */
export function sign(seed: string, bytes: Uint8Array): Uint8Array {
  return fromSeed(new TextEncoder().encode(seed)).sign(bytes);
}

/**
 * Whether `signature` is `publicKey`'s over `bytes`. Whatever is malformed is simply no valid signature. The runtime
 * verifies, not the nkeys library, whose arithmetic in JavaScript takes milliseconds: histories have many signatures.
 */
export function verify(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  try {
    // Checks the alphabet, the prefix and the checksum.
    fromPublic(publicKey);
    const x = Buffer.from(rawKey(publicKey)).toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return verifySignature(null, bytes, key, signature);
  } catch {
    return false;
  }
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The 32 bytes of key within an nkey's base32 (RFC 4648 §6): after one byte of prefix, before two of checksum. */
function rawKey(publicKey: string): Uint8Array {
  const decoded: number[] = [];
  let bits = 0;
  let held = 0;
  for (const character of publicKey) {
    held = (held << 5) | BASE32.indexOf(character);
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    decoded.push((held >> bits) & 0xff);
    held &= (1 << bits) - 1;
  }
  return Uint8Array.from(decoded.slice(1, 33));
}
