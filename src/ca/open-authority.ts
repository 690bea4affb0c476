/** Brings the authority up: made on first use, loaded ever after, its issuing certificate renewed in time. */

import { join } from "node:path";
import { createIssuer, createRoot, ISSUER_RENEWAL_MS, type SigningPair } from "./authority.ts";
import {
  CustodyError,
  FIRST_GENERATION,
  type Generation,
  generationOf,
  type KeptPair,
  type KeyCustody,
} from "./custody.ts";
import { FileCustody } from "./file-custody.ts";
import { Issuer } from "./issuer.ts";
import { fingerprint } from "./workload/pem.ts";
import { trustDomainId } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

export interface AuthorityOptions {
  readonly trustDomain: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /**
   * Fingerprint of the root to sign under, which must be kept; absent: the one to begin a mesh with, made where there
   * is none.
   */
  readonly root?: string | undefined;
}

export interface Authority {
  /** What the `RootAdded` event and the trust bundle carry. */
  readonly rootPem: string;
  /** SHA-256 of the root's DER, lower-case hex. */
  readonly rootFingerprint: string;
  readonly rootNotAfterMs: number;
  /** The root's key is elsewhere: issuing certificates come from whoever has it. */
  readonly isExternal: boolean;
  /** Signs nothing any more once the root has expired. */
  readonly issuer: Issuer;
}

/** The authority whose keys are files in `<directory>/ca`. Rejects with `CustodyError`, in words for its operator. */
export function openAuthority(directory: string, options: AuthorityOptions): Promise<Authority> {
  return openAuthorityIn(new FileCustody(join(directory, "ca")), options);
}

/**
 * The authority whose keys are in `custody`. Several replicas may do this at once on the same custody: the first root
 * stays, and it does not matter whose issuing certificate does, since all of them lead to that root.
 */
export async function openAuthorityIn(custody: KeyCustody, options: AuthorityOptions): Promise<Authority> {
  const generation = await keptGeneration(custody, options.root);
  const kept = { root: await custody.load("root", generation), issuer: await custody.load("issuer", generation) };
  if (kept.root === undefined && kept.issuer !== undefined) {
    throw new CustodyError(
      "the authority has an issuing certificate but no root: restore the root from a backup; a new root would cut off every workload",
    );
  }
  return authorityOf(custody, generation, {
    ...options,
    root: kept.root ?? (await firstRoot(custody, options)),
    issuer: kept.issuer,
  });
}

/**
 * A root to take the place of another one: one that is kept and that nobody has heard of yet, which an attempt that
 * broke off has left, or a new one. Its issuing certificate is made with it.
 * @param known fingerprints of the roots that the mesh has, or had
 */
export async function nextAuthority(
  custody: KeyCustody,
  known: ReadonlySet<string>,
  options: Omit<AuthorityOptions, "root"> & Pick<Authority, "isExternal">,
): Promise<Authority> {
  for (const generation of await custody.generations()) {
    const root = await custody.load("root", generation);
    if (root !== undefined && !known.has(fingerprintOf(root))) {
      const issuer = await custody.load("issuer", generation);
      return authorityOf(custody, generation, { ...options, root, issuer });
    }
  }
  if (options.isExternal) {
    throw new CustodyError(
      "the root's key is elsewhere, and so must the next one's be: heddle ca csr, heddle ca install",
    );
  }
  const root = await createRoot(options.trustDomain, options.nowMs);
  const generation = generationOf(fingerprintOf(root));
  await custody.create("root", generation, root);
  return authorityOf(custody, generation, { ...options, root, issuer: undefined });
}

interface KeptPairs extends Pick<AuthorityOptions, "trustDomain" | "nowMs"> {
  readonly root: KeptPair;
  readonly issuer: KeptPair | undefined;
}

async function authorityOf(custody: KeyCustody, generation: Generation, pairs: KeptPairs): Promise<Authority> {
  const { root } = pairs;
  const rootCertificate = new x509.X509Certificate(root.certificatePem);
  checkRoot(rootCertificate, pairs);
  return {
    rootPem: root.certificatePem,
    rootFingerprint: fingerprintOf(root),
    rootNotAfterMs: rootCertificate.notAfter.getTime(),
    isExternal: root.key === undefined,
    issuer: new Issuer(await currentIssuer(custody, generation, pairs)),
  };
}

/** Where that root is kept. A mesh that has a root must not get another one from a replica that lacks it. */
async function keptGeneration(custody: KeyCustody, wanted: string | undefined): Promise<Generation> {
  if (wanted === undefined) return FIRST_GENERATION;
  const generation = generationOf(wanted);
  if ((await custody.generations()).includes(generation)) return generation;
  const first = await custody.load("root", FIRST_GENERATION);
  if (first !== undefined && fingerprintOf(first) === wanted) return FIRST_GENERATION;
  throw new CustodyError(
    `the keys of the root ${generation}, which signs for the mesh, are not here: copy what the authority's directory (ca/) of another control replica holds`,
  );
}

async function firstRoot(custody: KeyCustody, { trustDomain, nowMs }: AuthorityOptions): Promise<KeptPair> {
  await custody.create("root", FIRST_GENERATION, await createRoot(trustDomain, nowMs));
  // Read back what is kept: it may be another replica's, and its key is one that cannot be exported any more.
  const root = await custody.load("root", FIRST_GENERATION);
  if (root === undefined) throw new CustodyError("the root that was just stored is gone");
  return root;
}

function checkRoot(root: x509.X509Certificate, { trustDomain }: KeptPairs): void {
  const names = root.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  const expected = trustDomainId(trustDomain);
  const found = names.find((name) => name.type === "url")?.value;
  // One of an authority that serves others as well need not have a name of the mesh.
  if (found === undefined || found === expected) return;
  throw new CustodyError(
    `the root is for ${found}, the mesh is ${expected}: use another directory, or declare the mesh with that trust domain`,
  );
}

/** The issuing certificate kept, or a new one where there is none, it nears its end, or it is another root's. */
async function currentIssuer(
  custody: KeyCustody,
  generation: Generation,
  { root, issuer: kept, trustDomain, nowMs }: KeptPairs,
): Promise<SigningPair> {
  const rootNotAfterMs = new x509.X509Certificate(root.certificatePem).notAfter.getTime();
  const usable = kept && withKey(kept);
  if (usable !== undefined && (await isGood(usable, root, nowMs))) return usable;
  if (rootNotAfterMs <= nowMs) {
    // An expired root signs nothing, but the replica must start all the same: otherwise the mesh could get no other
    // root.
    if (usable !== undefined) return usable;
    throw new CustodyError(`the root expired at ${new Date(rootNotAfterMs).toISOString()}, and has nothing signed`);
  }
  const { certificatePem, key } = root;
  if (key === undefined) {
    if (usable !== undefined && (await isUnder(usable, root))) return usable;
    throw new CustodyError("the root's key is elsewhere, and it has signed no issuing certificate: heddle ca csr");
  }
  const issuer = await createIssuer({ certificatePem, key }, trustDomain, nowMs);
  // Of replicas that start at once, one makes it and all of them take it.
  if (kept === undefined) await custody.create("issuer", generation, issuer);
  else await custody.replace("issuer", generation, issuer);
  const stored = await custody.load("issuer", generation);
  const current = stored && withKey(stored);
  if (current === undefined) throw new CustodyError("the issuing certificate that was just stored is gone");
  return current;
}

function withKey({ certificatePem, key }: KeptPair): SigningPair | undefined {
  return key === undefined ? undefined : { certificatePem, key };
}

async function isGood(issuer: SigningPair, root: KeptPair, nowMs: number): Promise<boolean> {
  const certificate = new x509.X509Certificate(issuer.certificatePem);
  return nowMs < certificate.notAfter.getTime() - ISSUER_RENEWAL_MS && isUnder(issuer, root);
}

async function isUnder(issuer: SigningPair, root: KeptPair): Promise<boolean> {
  const certificate = new x509.X509Certificate(issuer.certificatePem);
  const { publicKey } = new x509.X509Certificate(root.certificatePem);
  return certificate.verify({ publicKey, signatureOnly: true });
}

function fingerprintOf({ certificatePem }: KeptPair): string {
  const found = fingerprint(certificatePem);
  if (!found.ok) throw new CustodyError(found.error);
  return found.value;
}
