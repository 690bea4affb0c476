/**
 * Where the authority's private keys live. The port is small, so that a key store or a hardware module can take the
 * place of files: it hands out keys to sign with, not their bytes. Nothing here ever logs or reports key material.
 */

import { link, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "../nats/private-file.ts";
import { SIGNING_ALGORITHM, type SigningPair } from "./authority.ts";
import { decodePem, encodePem } from "./workload/pem.ts";
import * as x509 from "./x509.ts";

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

export interface KeyCustody {
  /** Those of which a root is kept, in no particular order. */
  generations(): Promise<readonly Generation[]>;
  /** The pair with a key that can sign but not be exported; undefined where none is kept. Rejects with `CustodyError`. */
  load(role: SigningRole, generation: Generation): Promise<SigningPair | undefined>;
  /** Keeps a new pair unless there is one already. False: somebody else's came first, and stays. */
  create(role: SigningRole, generation: Generation, pair: SigningPair): Promise<boolean>;
  /** Keeps a pair in place of whatever is there. */
  replace(role: SigningRole, generation: Generation, pair: SigningPair): Promise<void>;
}

/** What is kept cannot be used as it is. The message says why and what to do, for the person who runs the authority. */
export class CustodyError extends Error {
  override readonly name = "CustodyError";
}

const OTHERS = 0o077;
const ROOT_FILE = /^root-([0-9a-f]{16})\.pem$/;

/**
 * Keeps each pair as one PEM file, `root.pem` and `issuer.pem` (`root-<generation>.pem` and so on after a rotation),
 * private key (PKCS#8) first: a key and its certificate are then written together or not at all.
 * @param directory made if need be, for its owner only; the files likewise.
 */
export class FileCustody implements KeyCustody {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async generations(): Promise<readonly Generation[]> {
    const names = await readdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return names.flatMap((name) => ROOT_FILE.exec(name)?.[1] ?? (name === "root.pem" ? FIRST_GENERATION : []));
  }

  async load(role: SigningRole, generation: Generation): Promise<SigningPair | undefined> {
    const path = this.#path(role, generation);
    const text = await readIfPresent(path);
    if (text === undefined) return undefined;
    await refuseOthers(this.#directory, "700");
    await refuseOthers(path, "600");
    return parsePair(text, path);
  }

  async create(role: SigningRole, generation: Generation, pair: SigningPair): Promise<boolean> {
    const temporary = join(this.#directory, `.${role}.${crypto.randomUUID()}`);
    await makePrivateDirectory(this.#directory);
    try {
      await writePrivateFile(temporary, await pairPem(pair));
      // Unlike a rename, a link never takes the place of a file that another process has just put there.
      await link(temporary, this.#path(role, generation));
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async replace(role: SigningRole, generation: Generation, pair: SigningPair): Promise<void> {
    await makePrivateDirectory(this.#directory);
    await writePrivateFile(this.#path(role, generation), await pairPem(pair));
  }

  #path(role: SigningRole, generation: Generation): string {
    return join(this.#directory, generation === FIRST_GENERATION ? `${role}.pem` : `${role}-${generation}.pem`);
  }
}

async function refuseOthers(path: string, mode: string): Promise<void> {
  const found = (await stat(path)).mode & 0o777;
  if ((found & OTHERS) === 0) return;
  throw new CustodyError(`${path} is open to others (mode ${found.toString(8)}): chmod ${mode} ${path}`);
}

async function pairPem(pair: SigningPair): Promise<string> {
  const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.key));
  return encodePem("PRIVATE KEY", key) + pair.certificatePem;
}

async function parsePair(text: string, path: string): Promise<SigningPair> {
  const [key, ...moreKeys] = decodePem("PRIVATE KEY", text) ?? [];
  const [certificate, ...moreCertificates] = decodePem("CERTIFICATE", text) ?? [];
  if (key === undefined || certificate === undefined || moreKeys.length + moreCertificates.length > 0) {
    throw new CustodyError(`${path} must hold one private key and one certificate: restore it from a backup`);
  }
  const pair = { certificatePem: encodePem("CERTIFICATE", certificate), key: await importKey(key, path) };
  if (!(await belongTogether(pair))) {
    throw new CustodyError(`${path}: the certificate is not for the private key beside it: restore it from a backup`);
  }
  return pair;
}

async function importKey(pkcs8: Uint8Array, path: string): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), SIGNING_ALGORITHM, false, ["sign"]);
  } catch {
    // The cause is left out: it is about key material.
    throw new CustodyError(`${path}: the private key is not P-256 in PKCS#8: restore it from a backup`);
  }
}

async function belongTogether(pair: SigningPair): Promise<boolean> {
  const probe = crypto.getRandomValues(new Uint8Array(32));
  try {
    const publicKey = await new x509.X509Certificate(pair.certificatePem).publicKey.export(SIGNING_ALGORITHM, [
      "verify",
    ]);
    const signature = await crypto.subtle.sign(SIGNING_ALGORITHM, pair.key, probe);
    return await crypto.subtle.verify(SIGNING_ALGORITHM, publicKey, signature, probe);
  } catch {
    return false;
  }
}
