/** What a workload proves its identity with, checked as a whole, and the file that keeps it across restarts. */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { makePrivateDirectory, readKeptIfPresent, writePrivateFile } from "../../nats/private-file.ts";
import { err, ok, type Result } from "../../policy/result.ts";
import { readCertificate } from "./certificate.ts";
import { keyMatches } from "./csr.ts";
import { BUNDLE_ROOTS_MAX, decodePem, parseBundle } from "./pem.ts";
import type { Identity } from "./spiffe-id.ts";
import { svidIdentity } from "./svid.ts";

/** Key, certificates and trust: what TLS is set up from, on both sides. Immutable; a renewal makes a new one. */
export interface WorkloadCredentials {
  readonly identity: Identity;
  /** TLS `key`. */
  readonly keyPem: string;
  /** Leaf and issuing certificate: TLS `cert`. */
  readonly chainPem: string;
  /** PEM of every trusted root, never empty: TLS `ca`. */
  readonly bundle: readonly string[];
  /** Of the leaf: lower-case hex. */
  readonly serial: string;
  /** Unix milliseconds, of the leaf. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CredentialParts {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly bundle: readonly string[];
}

/** Puts credentials together if they are good for `identity` at `nowMs`. The error says what is wrong. */
export async function assembleCredentials(
  parts: CredentialParts,
  identity: Identity,
  nowMs: number,
): Promise<Result<WorkloadCredentials, string>> {
  const bundle = parseBundle(parts.bundle.join("\n"));
  if (!bundle.ok) return bundle;
  const [leaf, ...above] = decodePem("CERTIFICATE", parts.chainPem) ?? [];
  const certificate = leaf === undefined ? undefined : readCertificate(leaf);
  if (leaf === undefined || certificate === undefined) return err("the chain holds no certificate");
  if (above.length === 0) return err("the chain lacks the issuing certificate");
  const subject = svidIdentity(leaf, nowMs);
  if (!subject.ok) return err(subject.error.message.replace("the peer's certificate", "our certificate"));
  if (subject.value.id !== identity.id)
    return err(`our certificate is for ${subject.value.id}, not for ${identity.id}`);
  if (!(await keyMatches(parts.keyPem, certificate.spki))) return err("our certificate is not for our key");
  const { serial, notBeforeMs, notAfterMs } = certificate;
  return ok({
    identity,
    keyPem: parts.keyPem,
    chainPem: parts.chainPem,
    bundle: bundle.value,
    serial,
    notBeforeMs,
    notAfterMs,
  });
}

const FILE = "identity.json";
const FILE_BYTES_MAX = 1024 * 1024;

const storedParts = z.strictObject({
  keyPem: z.string(),
  chainPem: z.string(),
  bundle: z.array(z.string()).max(BUNDLE_ROOTS_MAX),
});

/** Writes key, chain and bundle to one file, so that they always belong together. Rejects where the disk does. */
export async function saveCredentials(stateDirectory: string, credentials: WorkloadCredentials): Promise<void> {
  const { keyPem, chainPem, bundle } = credentials;
  await makePrivateDirectory(stateDirectory);
  await writePrivateFile(join(stateDirectory, FILE), JSON.stringify({ keyPem, chainPem, bundle }));
}

/**
 * The credentials of an earlier run, undefined where there are none. What is there and cannot be used is an error, in
 * words; asking for new credentials mends it.
 */
export async function loadCredentials(
  stateDirectory: string,
  identity: Identity,
  nowMs: number,
): Promise<Result<WorkloadCredentials | undefined, string>> {
  const path = join(stateDirectory, FILE);
  try {
    const text = await readKeptIfPresent(path);
    if (text === undefined) return ok(undefined);
    const { mode, size } = await stat(path);
    if ((mode & 0o077) !== 0) return err(`${path} is open to others, its key is not used: chmod 600 ${path}`);
    if (size > FILE_BYTES_MAX) return err(`${path} is larger than ${FILE_BYTES_MAX} bytes`);
    const stored = storedParts.safeParse(JSON.parse(text));
    if (!stored.success) return err(`${path} is not what was written there`);
    const credentials = await assembleCredentials(stored.data, identity, nowMs);
    return credentials.ok ? credentials : err(`${path}: ${credentials.error}`);
  } catch (error) {
    // The parser's message would quote the file, and with it the key.
    const why = error instanceof SyntaxError ? "not JSON" : error instanceof Error ? error.message : "unknown error";
    return err(`${path} cannot be read: ${why}`);
  }
}
