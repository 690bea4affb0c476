/** Brings the authority up: made on first use, loaded ever after, its issuing certificate renewed in time. */

import { join } from "node:path";
import { createIssuer, createRoot, ISSUER_RENEWAL_MS, type SigningPair } from "./authority.ts";
import { CustodyError, FileCustody, type KeyCustody } from "./custody.ts";
import { Issuer } from "./issuer.ts";
import { fingerprint } from "./workload/pem.ts";
import { trustDomainId } from "./workload/spiffe-id.ts";
import * as x509 from "./x509.ts";

export interface AuthorityOptions {
  readonly trustDomain: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

export interface Authority {
  /** What the `RootAdded` event and the trust bundle carry. */
  readonly rootPem: string;
  /** SHA-256 of the root's DER, lower-case hex. */
  readonly rootFingerprint: string;
  readonly rootNotAfterMs: number;
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
  const kept = { root: await custody.load("root"), issuer: await custody.load("issuer") };
  if (kept.root === undefined && kept.issuer !== undefined) {
    throw new CustodyError(
      "the authority has an issuing certificate but no root: restore the root from a backup; a new root would cut off every workload",
    );
  }
  const root = kept.root ?? (await firstRoot(custody, options));
  const rootCertificate = new x509.X509Certificate(root.certificatePem);
  checkRoot(rootCertificate, options);
  const issuer = await currentIssuer(custody, root, kept.issuer, options);
  const rootFingerprint = fingerprint(root.certificatePem);
  if (!rootFingerprint.ok) throw new CustodyError(rootFingerprint.error);
  return {
    rootPem: root.certificatePem,
    rootFingerprint: rootFingerprint.value,
    rootNotAfterMs: rootCertificate.notAfter.getTime(),
    issuer: new Issuer(issuer),
  };
}

async function firstRoot(custody: KeyCustody, { trustDomain, nowMs }: AuthorityOptions): Promise<SigningPair> {
  await custody.create("root", await createRoot(trustDomain, nowMs));
  // Read back what is kept: it may be another replica's, and its key is one that cannot be exported any more.
  const root = await custody.load("root");
  if (root === undefined) throw new CustodyError("the root that was just stored is gone");
  return root;
}

function checkRoot(root: x509.X509Certificate, { trustDomain, nowMs }: AuthorityOptions): void {
  const names = root.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  const expected = trustDomainId(trustDomain);
  const found = names.find((name) => name.type === "url")?.value;
  if (found !== expected) {
    throw new CustodyError(
      `the root is for ${found ?? "no trust domain"}, the mesh is ${expected}: use another directory, or declare the mesh with that trust domain`,
    );
  }
  if (root.notAfter.getTime() <= nowMs) {
    throw new CustodyError(
      `the root expired at ${root.notAfter.toISOString()}: a new root must be added and activated`,
    );
  }
}

/** The issuing certificate kept, or a new one where there is none, it nears its end, or it is another root's. */
async function currentIssuer(
  custody: KeyCustody,
  root: SigningPair,
  kept: SigningPair | undefined,
  { trustDomain, nowMs }: AuthorityOptions,
): Promise<SigningPair> {
  if (kept !== undefined && (await isGood(kept, root, nowMs))) return kept;
  await custody.replace("issuer", await createIssuer(root, trustDomain, nowMs));
  const issuer = await custody.load("issuer");
  if (issuer === undefined) throw new CustodyError("the issuing certificate that was just stored is gone");
  return issuer;
}

async function isGood(issuer: SigningPair, root: SigningPair, nowMs: number): Promise<boolean> {
  const certificate = new x509.X509Certificate(issuer.certificatePem);
  if (nowMs >= certificate.notAfter.getTime() - ISSUER_RENEWAL_MS) return false;
  const { publicKey } = new x509.X509Certificate(root.certificatePem);
  return certificate.verify({ publicKey, signatureOnly: true });
}
