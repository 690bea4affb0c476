/** One root and two leaves, for peers that do not issue their own: P-256, as our sidecars have them. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { output } from "./process.ts";

/** Files in PEM. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
  /** Roots that the other side is checked against. */
  readonly roots: string;
}

export interface Certificates {
  /** Proxy A, whose connections proxy B accepts. */
  readonly caller: Identity;
  /** Proxy B, known as `CALLED_NAME`. */
  readonly called: Identity;
}

export const CALLED_NAME = "catalog.mesh.local";

export async function makeCertificates(directory: string): Promise<Certificates> {
  const root = join(directory, "root.pem");
  const rootKey = join(directory, "root.key");
  await makeKey(rootKey);
  await output(["openssl", "req", "-x509", "-new", "-key", rootKey, "-days", "2", "-subj", "/CN=root", "-out", root]);

  const leaf = async (name: string, dnsName: string): Promise<Identity> => {
    const certificate = join(directory, `${name}.pem`);
    const key = join(directory, `${name}.key`);
    const request = join(directory, `${name}.csr`);
    const extensions = join(directory, `${name}.ext`);
    await makeKey(key);
    await output(["openssl", "req", "-new", "-key", key, "-subj", `/CN=${name}`, "-out", request]);
    const names = `URI:spiffe://mesh.local/ns/shop/sa/${name},DNS:${dnsName}`;
    await writeFile(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    const signer = ["-CA", root, "-CAkey", rootKey, "-CAcreateserial", "-days", "2", "-extfile", extensions];
    await output(["openssl", "x509", "-req", "-in", request, ...signer, "-out", certificate]);
    return { certificate, key, roots: root };
  };
  return { caller: await leaf("web", "web.mesh.local"), called: await leaf("catalog", CALLED_NAME) };
}

async function makeKey(path: string): Promise<void> {
  await output(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path]);
}
