/**
 * Private keys at rest, encrypted under a secret: a key from scrypt (RFC 7914), then AES-256-GCM, whose additional data
 * are all parameters, so that none can be exchanged. As bytes: version, log2 N, r, p, salt (16), nonce (12), and the
 * ciphertext with its tag.
 */

import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { err, ok, type Result } from "../policy/result.ts";
import { decodePem, encodePem } from "./workload/pem.ts";

export const SEALED_LABEL = "HEDDLE SEALED PRIVATE KEY";

/** Bytes of a secret: a passphrase of some words, or a key file. */
export const SECRET_BYTES_MIN = 16;

const VERSION = 1;
/** 64 MB and some tenths of a second for each guess. */
const COST = { logN: 16, r: 8, p: 1 } as const;
/** What a file may ask for: enough for years to come, too little to exhaust a machine. */
const COST_MAX = { logN: 20, r: 16, p: 4 } as const;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 4 + SALT_BYTES + NONCE_BYTES;

const derive = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(scrypt);

interface Cost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

export class KeySeal {
  readonly #secret: Buffer;

  /** Throws `RangeError` for a secret that is too short to protect anything. */
  constructor(secret: Uint8Array) {
    if (secret.length < SECRET_BYTES_MIN)
      throw new RangeError(`the secret must have at least ${SECRET_BYTES_MIN} bytes`);
    this.#secret = Buffer.from(secret);
  }

  /** PEM of a private key (PKCS#8) that only the same secret opens. */
  async seal(pkcs8: Uint8Array): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    const head = Buffer.concat([Buffer.from([VERSION, COST.logN, COST.r, COST.p]), salt, nonce]);
    const cipher = createCipheriv("aes-256-gcm", await this.#key(salt, COST), nonce).setAAD(head);
    const sealed = Buffer.concat([head, cipher.update(pkcs8), cipher.final(), cipher.getAuthTag()]);
    return encodePem(SEALED_LABEL, sealed);
  }

  /** The private key (PKCS#8) again. The error says that it cannot be had, and nothing about it. */
  async open(pem: string): Promise<Result<Uint8Array, string>> {
    const [bytes, ...more] = decodePem(SEALED_LABEL, pem) ?? [];
    if (bytes === undefined || more.length > 0 || bytes.length <= HEAD_BYTES + TAG_BYTES) return err("is damaged");
    const [version, logN = 0, r = 0, p = 0] = bytes;
    if (version !== VERSION) return err(`is sealed in a way (${version}) that this program does not know`);
    const bounded = logN >= 1 && r >= 1 && p >= 1 && logN <= COST_MAX.logN && r <= COST_MAX.r && p <= COST_MAX.p;
    if (!bounded) return err("is damaged");
    const head = bytes.subarray(0, HEAD_BYTES);
    const salt = Buffer.from(head.subarray(4, 4 + SALT_BYTES));
    const key = await this.#key(salt, { logN, r, p });
    const decipher = createDecipheriv("aes-256-gcm", key, head.subarray(4 + SALT_BYTES)).setAAD(head);
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    try {
      return ok(Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]));
    } catch {
      return err("is sealed under another secret, or damaged");
    }
  }

  #key(salt: Buffer, { logN, r, p }: Cost): Promise<Buffer> {
    const N = 2 ** logN;
    return derive(this.#secret, salt, 32, { N, r, p, maxmem: 256 * N * r });
  }
}
