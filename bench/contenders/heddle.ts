/** Our sidecars, as `heddle sidecar` runs them, with the real control plane's publishers and NATS beside them. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { selfCommand, VERSION } from "../../src/cli/program.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";
import { TestMesh } from "../../test/support/mesh.ts";
import type { Identity } from "../certificates.ts";
import type { Contender, Protocol, RunningPair, Site } from "../contender.ts";
import { freePort, type PinnedProcess, PROXY_CORE, spawnPinned, untilServing } from "../process.ts";

/** Every kind of rule that a request passes on its way, none of which ever stops it. */
const policy = (protocol: Protocol): string => `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec:
  ports: [{ port: 8080, protocol: ${protocol} }]
  subsets: { v1: { version: v1 }, v2: { version: v2 } }
  loadBalancer: { algorithm: least-request }
  connectionPool: { maxConnections: 200, maxPendingRequests: 1000, maxRequests: 1000 }
  outlierDetection: { consecutive5xx: 5, interval: 5s, baseEjectionTime: 1m, maxEjectionPercent: 50 }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - match: [{ headers: { x-sticky-user: { exact: beta } } }]
      backends: [{ subset: v2 }]
    - backends: [{ subset: v1 }]
      timeout: 3s
      retries: { attempts: 3, perTryTimeout: 800ms, on: [5xx, connect-failure], budget: { percent: 20, minPerSecond: 3 } }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules:
    - deny: { paths: [/admin, /admin/*] }
    - allow: { from: [shop/web], methods: [GET, POST] }
---
apiVersion: heddle/v1
kind: RateLimit
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules: [{ requests: 1000000, per: 1s, burst: 1000000, by: source }]
`;

const SAVE_POLL_MS = 20;

const storedIdentity = z.object({ keyPem: z.string(), chainPem: z.string(), bundle: z.array(z.string()) });

interface RunningSidecar {
  readonly process: PinnedProcess;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly stateDirectory: string;
}

async function startSidecar(
  { directory, defer }: Site,
  meshDirectory: string,
  service: string,
  applicationPort: number,
): Promise<RunningSidecar> {
  const [inboundPort, outboundPort, adminPort] = [await freePort(), await freePort(), await freePort()];
  const stateDirectory = join(directory, service);
  const own = (port: number): string => `127.0.0.1:${port}`;
  const command = selfCommand([
    ...["sidecar", "--service", `shop/${service}`, "--label", "version=v1", "--instance", service],
    ...["--app", own(applicationPort), "--inbound", own(inboundPort), "--outbound", own(outboundPort)],
    ...["--admin", own(adminPort), "--health", "off", "--metrics", "off", "--advertise", "127.0.0.1"],
    ...["--dir", meshDirectory, "--state-dir", stateDirectory],
  ]);
  const process = spawnPinned(PROXY_CORE, command, defer, { HEDDLE_LOG: "error" });
  return { process, inboundPort, outboundPort, stateDirectory };
}

/** The calling sidecar's own identity, which the called one admits. */
async function identityOf(sidecar: RunningSidecar, directory: string): Promise<Identity> {
  const stored = Bun.file(join(sidecar.stateDirectory, "identity.json"));
  // An identity is in force a moment before it is on the disk.
  while (!(await stored.exists())) await Bun.sleep(SAVE_POLL_MS);
  const { keyPem, chainPem, bundle } = storedIdentity.parse(await stored.json());
  const identity = {
    certificate: join(directory, "caller.pem"),
    key: join(directory, "caller.key"),
    roots: join(directory, "roots.pem"),
  };
  await writeFile(identity.certificate, chainPem);
  await writeFile(identity.key, keyPem, { mode: 0o600 });
  // openssl sends, besides the leaf, only what it finds here: the chain has an issuer between leaf and root.
  await writeFile(identity.roots, [...bundle, chainPem].join("\n"));
  return identity;
}

/** Web and catalog with a sidecar each, under this policy, and the mesh that they are of. */
export async function startPair(site: Site, policyText: string): Promise<RunningPair & { readonly mesh: TestMesh }> {
  const mesh = await TestMesh.start();
  site.defer(() => mesh.stop());
  await mesh.apply(policyText);
  const meshDirectory = mesh.nats.directory.path;
  const catalog = await startSidecar(site, meshDirectory, "catalog", site.applicationPort);
  const web = await startSidecar(site, meshDirectory, "web", site.applicationPort);
  await untilServing(web.outboundPort, "/130");
  return {
    mesh,
    port: web.outboundPort,
    pids: [web.process.pid, catalog.process.pid],
    inbound: { port: catalog.inboundPort, client: await identityOf(web, site.directory) },
  };
}

export const heddle: Contender = {
  name: "heddle",
  acceptsH2c: true,
  carriesGrpc: true,
  missing: () => undefined,
  version: async () => {
    const nats = await findServerBinary(process.env);
    return `Heddle ${VERSION}, Bun ${Bun.version}, nats-server ${nats.version}`;
  },
  start: (site) => startPair(site, policy(site.protocol)),
};
