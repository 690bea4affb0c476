/** The doors of a replica: certificates, quotas, commands, questions. */

import type { AuthorityKeeper } from "../ca/authority-keeper.ts";
import { type SigningService, serveSigning } from "../ca/sign-service.ts";
import type { MeshState } from "../events/state.ts";
import { parseDuration } from "../policy/duration.ts";
import { CommandService } from "./command-service.ts";
import type { ControlMetrics } from "./control-metrics.ts";
import type { CredentialService } from "./credential-service.ts";
import { admitInstance } from "./join-tokens.ts";
import type { Ledger } from "./ledger.ts";
import type { LedgerFold } from "./ledger-fold.ts";
import type { Publication } from "./publication.ts";
import { type QueryService, serveQueries } from "./query-service.ts";
import { serveQuota } from "./quota-service.ts";
import { RefusedCertificates } from "./refused-certificates.ts";
import type { ControlOptions } from "./replica.ts";
import type { ReplicaRegistry } from "./replica-registry.ts";
import type { RotationDriver } from "./rotation-driver.ts";
import { signingRevocation } from "./signing-revocation.ts";

/** Life of a leaf where no document and no option says otherwise. */
const LEAF_TTL_MS = 24 * 3_600_000;

/** What the services answer from. */
export interface ServiceParts extends ControlOptions, LedgerFold {
  readonly metrics: ControlMetrics;
  readonly keeper: AuthorityKeeper;
  readonly rotation: RotationDriver;
  readonly ledger: Ledger;
  readonly publication: Publication;
  readonly credentials: CredentialService;
  readonly peers: ReplicaRegistry;
  /** Ends of the certificates that sign, milliseconds since the epoch. */
  readonly authorityExpiry: () => { readonly rootMs: number; readonly issuerMs: number };
}

/**
 * Opens every door until the stack is unwound: to workloads on `heard`, to operators on `bus`. Resolves when the NATS
 * server knows of them.
 */
export async function serveAll(parts: ServiceParts, stack: AsyncDisposableStack): Promise<void> {
  const { bus, keeper, projection, publication } = parts;
  const signing = serveCertificates(parts);
  keeper.onAvailability((available) => signing.setAvailable(available));
  stack.defer(() => {
    keeper.onAvailability(() => {});
    signing.stop();
  });
  const quota = serveQuota({
    bus: parts.heard ?? bus,
    state: () => projection.state,
    monotonicMs: () => performance.now(),
  });
  stack.defer(() => quota.stop());
  const commands = new CommandService(parts);
  stack.defer(() => commands.stop());
  await commands.start();
  // Last: whoever gets an answer to a question may send a command at once, and a command that nobody hears is lost.
  const queries = serveQuestions(parts);
  stack.defer(() => {
    queries.stop();
    publication.convergence.stop();
  });
  await bus.flush();
}

function serveCertificates(parts: ServiceParts): SigningService {
  const { bus, heard = bus, trustDomain, now, logger, keeper, projection, metrics } = parts;
  const state = (): MeshState => projection.state;
  const refused = new RefusedCertificates(logger);
  return serveSigning(heard, {
    trustDomain,
    ttlMs: parts.leafTtlMs ?? LEAF_TTL_MS,
    ttlOf: (namespace, service) => certificateTtl(state(), namespace, service),
    issuer: () => keeper.issuer,
    bundle: () => trustedRoots(state()),
    revocation: (namespace, service) => signingRevocation(state(), namespace, service),
    admit: (asker, instance) => admitInstance({ ...asker, instance }, { ...parts, state }),
    now,
    audit: (line) => {
      metrics.signed(line.outcome);
      if (line.outcome === "signed") logger.info({ ...line }, "certificate signed");
      else refused.note(line);
    },
  });
}

function serveQuestions(parts: ServiceParts): QueryService {
  const { projection, publication, peers } = parts;
  const { snapshots, endpoints, roster, convergence } = publication;
  return serveQueries({
    ...parts,
    state: () => projection.state,
    expectedRevision: (service) => snapshots.expectedRevision(service),
    roster,
    registry: endpoints.registry,
    convergence,
    replicas: () => peers.replicas(),
  });
}

/** Milliseconds; undefined where no document says. */
function certificateTtl({ mesh, namespaces }: MeshState, namespace: string, service: string): number | undefined {
  const own = namespaces.get(namespace)?.services.get(service)?.value.certificateTtl;
  return parseDuration(own ?? mesh?.value.certificateTtl ?? "");
}

function trustedRoots({ roots }: MeshState): string[] {
  return [...roots.values()].filter(({ status }) => status !== "retired").map(({ pem }) => pem);
}
