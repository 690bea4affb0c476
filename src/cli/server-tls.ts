/** The certificate of the NATS server that `heddle up` runs: somebody's own, or one from an authority of the directory's. */

import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { createServerAuthority, createServerCertificate, type PemPair, servesStill } from "../ca/server-certificate.ts";
import type { Directory } from "../nats/directory.ts";
import type { ServerTlsFiles } from "../nats/embedded-server.ts";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "../nats/private-file.ts";

/** Below the directory; paths in its context are relative to it. */
const TLS_PATH = join("nats", "tls");
export const SERVER_CA_PATH = join(TLS_PATH, "ca.pem");

/**
 * Has the directory hold a certificate for every name and address under which this machine is reached, made anew
 * where it is near its end or lacks one. The authority stays, so that whoever trusts it goes on doing so.
 */
export async function ensureServerTls(directory: Directory, advertised: readonly string[]): Promise<ServerTlsFiles> {
  const root = join(directory.path, TLS_PATH);
  await makePrivateDirectory(root);
  const nowMs = Date.now();
  const authority = await ensurePair(
    root,
    "ca",
    () => createServerAuthority(nowMs),
    () => true,
  );
  const hosts = [...new Set([...advertised, "localhost", hostname(), ...addresses()])];
  await ensurePair(
    root,
    "server",
    () => createServerCertificate(authority, hosts, nowMs),
    ({ certificate }) => servesStill(certificate, { authority, hosts, nowMs }),
  );
  return { certFile: join(root, "server.pem"), keyFile: join(root, "server.key") };
}

async function ensurePair(
  root: string,
  name: string,
  create: () => Promise<PemPair>,
  isGood: (pair: PemPair) => boolean,
): Promise<PemPair> {
  const [certificateFile, keyFile] = [join(root, `${name}.pem`), join(root, `${name}.key`)];
  const [certificate, key] = await Promise.all([readIfPresent(certificateFile), readIfPresent(keyFile)]);
  if (certificate !== undefined && key !== undefined && isGood({ certificate, key })) return { certificate, key };
  const made = await create();
  await writePrivateFile(keyFile, made.key);
  await writePrivateFile(certificateFile, made.certificate);
  return made;
}

/** Every address of this machine, loopback among them; without the zone that link-local ones have. */
function addresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address }) => address.split("%")[0] ?? ""),
  );
}
