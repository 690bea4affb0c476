/** The certificate of the NATS server that `heddle up` runs: somebody's own, or one from an authority of the directory's. */

import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import {
  createServerAuthority,
  createServerCertificate,
  type PemPair,
  servesStill,
} from "../../ca/server-certificate.ts";
import type { Directory } from "../../nats/directory.ts";
import type { ServerTlsFiles } from "../../nats/embedded-server.ts";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "../../nats/private-file.ts";

/** Below the directory; paths in its context are relative to it. */
const TLS_PATH = join("nats", "tls");
export const SERVER_CA_PATH = join(TLS_PATH, "ca.pem");

/** How often a server's certificate is looked after; it is made anew months before its end. */
const LOOK_INTERVAL_MS = 24 * 3_600_000;

/**
 * Has the directory hold a certificate for every name and address under which this machine is reached, made anew
 * where it is near its end or lacks one. The authority stays, so that whoever trusts it goes on doing so.
 */
export async function ensureServerTls(directory: Directory, advertised: readonly string[]): Promise<ServerTlsFiles> {
  const root = join(directory.path, TLS_PATH);
  await makePrivateDirectory(root);
  const nowMs = Date.now();
  const authority = await ensureAuthority(root, nowMs);
  const hosts = [...new Set([...advertised, "localhost", hostname(), ...addresses()])];
  const file = serverFile(directory);
  const present = await readIfPresent(file);
  if (present === undefined || !servesStill(present, { authority, hosts, nowMs })) {
    const { certificate, key } = await createServerCertificate(authority, hosts, nowMs);
    // In one file, so that there is never a certificate with another one's key.
    await writePrivateFile(file, certificate + key);
  }
  return { certFile: file, keyFile: file };
}

function serverFile({ path }: Directory): string {
  return join(path, TLS_PATH, "server.pem");
}

/** Made once. The certificate is written last: without it there is no authority yet. */
async function ensureAuthority(root: string, nowMs: number): Promise<PemPair> {
  const [certificateFile, keyFile] = [join(root, "ca.pem"), join(root, "ca.key")];
  const [certificate, key] = await Promise.all([readIfPresent(certificateFile), readIfPresent(keyFile)]);
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  const made = await createServerAuthority(nowMs);
  await writePrivateFile(keyFile, made.key);
  await writePrivateFile(certificateFile, made.certificate);
  return made;
}

export interface CertificateCareOptions {
  readonly directory: Directory;
  readonly advertised: readonly string[];
  /** Told when there is another certificate. */
  readonly renewed: () => void;
  /** Told, in words, when there could not be one. */
  readonly failed: (message: string) => void;
  readonly intervalMs?: number;
}

/** Looks after the certificate of a server that runs, until what is returned is called. */
export function careForServerTls(options: CertificateCareOptions): () => void {
  const { directory, advertised, renewed, failed, intervalMs = LOOK_INTERVAL_MS } = options;
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      const before = await readIfPresent(serverFile(directory));
      await ensureServerTls(directory, advertised);
      if ((await readIfPresent(serverFile(directory))) !== before) renewed();
    } catch (error) {
      failed(`NATS's certificate could not be renewed: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      looking = false;
    }
  };
  const timer = setInterval(() => void look(), intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Every address of this machine, loopback among them; without the zone that link-local ones have. */
function addresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address }) => address.split("%")[0] ?? ""),
  );
}
