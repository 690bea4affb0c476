/** Keys as files of one directory, for their owner only, and encrypted where a secret is given. */

import { link, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "../nats/private-file.ts";
import { SIGNING_ALGORITHM, type SigningPair } from "./authority.ts";
import {
  CustodyError,
  FIRST_GENERATION,
  type Generation,
  type KeptPair,
  type KeyCustody,
  type PendingKey,
  type SigningRole,
} from "./custody.ts";
import { type KeySeal, SEALED_LABEL } from "./key-seal.ts";
import { decodePem, encodePem } from "./workload/pem.ts";
import * as x509 from "./x509.ts";

const OTHERS = 0o077;
const ROOT_FILE = /^root-([0-9a-f]{16})\.pem$/;
const KEY_FILE = /^(?:(?:root|issuer)(?:-[0-9a-f]{16})?|pending)\.pem$/;
const PENDING = "pending.pem";
const RESTORE = "restore it from a backup";

/**
 * Keeps each pair as one PEM file, `root.pem` and `issuer.pem` (`root-<generation>.pem` and so on after a rotation),
 * private key first, in PKCS#8 or sealed: a key and its certificate are then written together or not at all.
 */
export class FileCustody implements KeyCustody {
  readonly #directory: string;
  readonly #seal: KeySeal | undefined;

  /**
   * @param directory made if need be, for its owner only; the files likewise.
   * @param seal encrypts every key; absent: they are protected by the mode of their file alone.
   */
  constructor(directory: string, seal?: KeySeal) {
    this.#directory = directory;
    this.#seal = seal;
  }

  async generations(): Promise<readonly Generation[]> {
    return (await this.#files()).flatMap((name) => {
      return ROOT_FILE.exec(name)?.[1] ?? (name === "root.pem" ? FIRST_GENERATION : []);
    });
  }

  async load(role: SigningRole, generation: Generation): Promise<KeptPair | undefined> {
    const path = this.#path(role, generation);
    const text = await this.#read(path);
    if (text === undefined) return undefined;
    const certificate = onlyBlock("CERTIFICATE", text);
    const pkcs8 = await this.#privateKey(text, path);
    const isWhole = certificate !== undefined && (pkcs8 !== undefined || role === "root");
    if (!isWhole) throw new CustodyError(`${path} must hold one private key and one certificate: ${RESTORE}`);
    const certificatePem = encodePem("CERTIFICATE", certificate);
    if (pkcs8 === undefined) return { certificatePem, key: undefined };
    const key = await importKey(pkcs8, path);
    if (await belongTogether(certificatePem, key)) return { certificatePem, key };
    throw new CustodyError(`${path}: the certificate is not for the private key beside it: ${RESTORE}`);
  }

  async create(role: SigningRole, generation: Generation, pair: SigningPair): Promise<boolean> {
    const temporary = join(this.#directory, `.${role}.${crypto.randomUUID()}`);
    await makePrivateDirectory(this.#directory);
    try {
      await writePrivateFile(temporary, (await this.#keyPem(pair.key)) + pair.certificatePem);
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
    await writePrivateFile(this.#path(role, generation), (await this.#keyPem(pair.key)) + pair.certificatePem);
  }

  async pending(): Promise<PendingKey | undefined> {
    const path = join(this.#directory, PENDING);
    const text = await this.#read(path);
    if (text === undefined) return undefined;
    const pkcs8 = await this.#privateKey(text, path);
    const request = onlyBlock("CERTIFICATE REQUEST", text);
    if (pkcs8 === undefined || request === undefined) {
      throw new CustodyError(`${path} must hold one private key and one request: remove it, and ask for another one`);
    }
    return { key: await importKey(pkcs8, path), csrPem: encodePem("CERTIFICATE REQUEST", request) };
  }

  async createPending({ key, csrPem }: PendingKey): Promise<void> {
    await makePrivateDirectory(this.#directory);
    await writePrivateFile(join(this.#directory, PENDING), (await this.#keyPem(key)) + csrPem);
  }

  async install(generation: Generation, certificatePem: string, rootPem: string): Promise<void> {
    const path = join(this.#directory, PENDING);
    const text = (await this.#read(path)) ?? "";
    const pkcs8 = await this.#privateKey(text, path);
    if (pkcs8 === undefined) throw new CustodyError(`${path} holds no key`);
    const key = this.#seal === undefined ? encodePem("PRIVATE KEY", pkcs8) : await this.#seal.seal(pkcs8);
    // The root last: a generation is one that has a root.
    await writePrivateFile(this.#path("issuer", generation), key + certificatePem);
    await writePrivateFile(this.#path("root", generation), rootPem);
    await rm(path, { force: true });
  }

  /**
   * Writes every key anew under another secret, or in the clear where there is none. Returns the files. Rejects with
   * `CustodyError` at the first that cannot be opened, before anything is written.
   */
  async reseal(next: KeySeal | undefined): Promise<string[]> {
    const opened = new Map<string, { readonly pkcs8: Uint8Array; readonly rest: string }>();
    for (const name of (await this.#files()).filter((file) => KEY_FILE.test(file)).sort()) {
      const path = join(this.#directory, name);
      const text = (await this.#read(path)) ?? "";
      const pkcs8 = await this.#privateKey(text, path);
      if (pkcs8 !== undefined) opened.set(path, { pkcs8, rest: text.slice(text.indexOf("-----BEGIN CERTIFICATE")) });
    }
    for (const [path, { pkcs8, rest }] of opened) {
      const key = next === undefined ? encodePem("PRIVATE KEY", pkcs8) : await next.seal(pkcs8);
      await writePrivateFile(path, key + rest);
    }
    return [...opened.keys()];
  }

  async #files(): Promise<string[]> {
    return readdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
  }

  async #read(path: string): Promise<string | undefined> {
    const text = await readIfPresent(path);
    if (text === undefined) return undefined;
    await refuseOthers(this.#directory, "700");
    await refuseOthers(path, "600");
    return text;
  }

  /** PKCS#8; undefined where the file has no key, or more than one. */
  async #privateKey(text: string, path: string): Promise<Uint8Array | undefined> {
    const sealed = decodePem(SEALED_LABEL, text)?.length ?? 0;
    const plain = decodePem("PRIVATE KEY", text) ?? [];
    if (sealed + plain.length !== 1) return undefined;
    if (sealed === 0) {
      if (this.#seal === undefined) return plain[0];
      throw new CustodyError(`${path}: its key is not encrypted: heddle ca protect encrypts it under your secret`);
    }
    if (this.#seal === undefined) {
      throw new CustodyError(
        `${path}: its key is encrypted: name the file with its secret (--ca-key-file or HEDDLE_CA_KEY_FILE)`,
      );
    }
    const opened = await this.#seal.open(text);
    if (opened.ok) return opened.value;
    throw new CustodyError(`${path}: its key ${opened.error}: give the right secret, or ${RESTORE}`);
  }

  async #keyPem(key: CryptoKey): Promise<string> {
    const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", key));
    return this.#seal === undefined ? encodePem("PRIVATE KEY", pkcs8) : this.#seal.seal(pkcs8);
  }

  #path(role: SigningRole, generation: Generation): string {
    return join(this.#directory, generation === FIRST_GENERATION ? `${role}.pem` : `${role}-${generation}.pem`);
  }
}

function onlyBlock(label: string, text: string): Uint8Array | undefined {
  const [block, ...more] = decodePem(label, text) ?? [];
  return more.length === 0 ? block : undefined;
}

async function refuseOthers(path: string, mode: string): Promise<void> {
  const found = (await stat(path)).mode & 0o777;
  if ((found & OTHERS) === 0) return;
  throw new CustodyError(`${path} is open to others (mode ${found.toString(8)}): chmod ${mode} ${path}`);
}

async function importKey(pkcs8: Uint8Array, path: string): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey("pkcs8", new Uint8Array(pkcs8), SIGNING_ALGORITHM, false, ["sign"]);
  } catch {
    // The cause is left out: it is about key material.
    throw new CustodyError(`${path}: the private key is not P-256 in PKCS#8: ${RESTORE}`);
  }
}

/** Whether a key is the certificate's: by trying. */
export async function belongTogether(certificatePem: string, key: CryptoKey): Promise<boolean> {
  const probe = crypto.getRandomValues(new Uint8Array(32));
  try {
    const publicKey = await new x509.X509Certificate(certificatePem).publicKey.export(SIGNING_ALGORITHM, ["verify"]);
    const signature = await crypto.subtle.sign(SIGNING_ALGORITHM, key, probe);
    return await crypto.subtle.verify(SIGNING_ALGORITHM, publicKey, signature, probe);
  } catch {
    return false;
  }
}
