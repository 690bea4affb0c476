/**
 * A small mesh for one test: a real NATS, the real authority and publishers, and real sidecars on real sockets, in this
 * process. Only the ledger is kept in memory: what these tests are about begins at the snapshot.
 */

import { openAuthority } from "../../src/ca/open-authority.ts";
import { type SigningService, serveSigning } from "../../src/ca/sign-service.ts";
import { serveQuota } from "../../src/control/quota-service.ts";
import { signingRevocation } from "../../src/control/signing-revocation.ts";
import type { CommandBody } from "../../src/events/commands.ts";
import type { MeshState } from "../../src/events/state.ts";
import { openBucket } from "../../src/nats/buckets.ts";
import type { NatsBus } from "../../src/nats/nats-bus.ts";
import { CONFIG_BUCKET, ENDPOINT_BUCKET } from "../../src/nats/subjects.ts";
import { ensureTrafficStream } from "../../src/nats/traffic-stream.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { EndpointPublisher } from "../../src/projections/endpoint-publisher.ts";
import { SnapshotPublisher } from "../../src/projections/snapshot-store.ts";
import { TestLedger } from "./ledger.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import { type SidecarSpec, startTestSidecar, type TestSidecar } from "./sidecars.ts";

export type { TestSidecar } from "./sidecars.ts";

export class TestMesh {
  /** Serves the rate limits that instances share. */
  readonly quota: { stop(): void };
  readonly ledger = new TestLedger(Date.now);
  readonly #sidecars = new Set<TestSidecar>();
  #instances = 0;

  private constructor(
    private readonly trustDomain: string,
    readonly nats: TestNats,
    readonly control: NatsBus,
    readonly snapshots: SnapshotPublisher,
    readonly endpoints: EndpointPublisher,
    private readonly end: () => Promise<void>,
  ) {
    const state = (): MeshState => this.ledger.state;
    this.quota = serveQuota({ bus: control, state, monotonicMs: () => performance.now() });
  }

  static async start(trustDomain = "mesh.local"): Promise<TestMesh> {
    const nats = await startTestNats();
    const { bus } = await nats.connectControl();
    await ensureTrafficStream(bus);
    const warn = (): void => {};
    const snapshots = new SnapshotPublisher({ bus, bucket: await openBucket(bus, CONFIG_BUCKET), warn });
    const endpoints = new EndpointPublisher({
      bus,
      bucket: await openBucket(bus, ENDPOINT_BUCKET),
      now: Date.now,
      warn,
    });
    await endpoints.start();
    const authority = await openAuthority(nats.directory.path, { trustDomain, nowMs: Date.now() });
    const signing: SigningService = serveSigning(bus, {
      trustDomain,
      ttlMs: 3_600_000,
      issuer: () => authority.issuer,
      bundle: () => [authority.rootPem],
      revocation: (namespace, service) => signingRevocation(mesh.ledger.state, namespace, service),
      now: Date.now,
      audit: () => {},
    });
    const mesh = new TestMesh(trustDomain, nats, bus, snapshots, endpoints, async () => {
      signing.stop();
      mesh.quota.stop();
      await snapshots.stop();
      await endpoints.stop();
    });
    mesh.ledger.record("_mesh", [
      { type: "MeshDeclared", spec: { trustDomain, mtls: "strict", access: "deny" } },
      { type: "RootAdded", fingerprint: authority.rootFingerprint, pem: authority.rootPem },
    ]);
    await snapshots.start(mesh.ledger.state);
    return mesh;
  }

  /** Applies policy and waits until it is published. Returns the revision. */
  async apply(text: string): Promise<number> {
    const parsed = parsePolicy([{ file: "test.yaml", text }]);
    if (!parsed.ok) throw new Error(parsed.error.map((problem) => `${problem.line}: ${problem.message}`).join("\n"));
    const documents = parsed.value.map(({ document }) => document);
    let revision = this.ledger.state.revision;
    for (const [namespace, own] of Map.groupBy(documents, (d) =>
      "namespace" in d.metadata ? d.metadata.namespace : "_mesh",
    )) {
      revision = await this.command(namespace, { kind: "apply", documents: own });
    }
    return revision;
  }

  async command(namespace: string, body: CommandBody): Promise<number> {
    const before = this.ledger.state;
    const recorded = this.ledger.command(namespace, body);
    this.snapshots.changed(before, this.ledger.state, recorded);
    await this.snapshots.settled();
    return recorded.revision;
  }

  async startSidecar(spec: SidecarSpec): Promise<TestSidecar> {
    const started = await startTestSidecar(this.nats, { trustDomain: this.trustDomain, ...spec }, ++this.#instances);
    this.#sidecars.add(started);
    return {
      ...started,
      stop: () => {
        this.#sidecars.delete(started);
        return started.stop();
      },
      crash: () => {
        this.#sidecars.delete(started);
        return started.crash();
      },
    };
  }

  /** Every sidecar is ready, and every caller sees `count` endpoints of every service that it may call. */
  async converged(): Promise<void> {
    await eventually(() => {
      for (const { sidecar } of this.#sidecars) {
        const missing = sidecar.notReady();
        if (missing !== undefined && missing !== "draining") throw new Error(missing);
      }
    });
    await this.endpoints.settled();
  }

  async stop(): Promise<void> {
    for (const sidecar of this.#sidecars) await sidecar.stop();
    await this.end();
    await this.nats.stop();
  }
}

/** Tries until it no longer throws, at most `timeoutMs`; then throws what it last threw. */
export async function eventually<T>(attempt: () => T | Promise<T>, timeoutMs = 15_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
