/** A whole mesh under constant load: control replicas on a real ledger, and sidecars of an HTTP, a gRPC and a TCP service. */

import type { ControlOptions } from "../../src/control/replica.ts";
import { type NodeChild, startNode } from "../clients/node-child.ts";
import { applying, type ControlMesh, send, startMesh } from "../control/mesh.ts";
import { clustersOf } from "./calling-web.ts";
import { ConstantLoad } from "./constant-load.ts";
import { type EchoServer, startEchoServer } from "./echo-server.ts";
import { eventually } from "./mesh.ts";
import { type NodeApp, startNodeApp } from "./node-app.ts";
import { type SidecarSpec, startTestSidecar, type TestSidecar } from "./sidecars.ts";

const PROTOCOLS = { web: "http", app: "http", grpc: "grpc", db: "tcp" } as const;

const POLICY = Object.entries(PROTOCOLS)
  .map(
    ([name, protocol]) => `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 8080, protocol: ${protocol} }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { from: [shop/web] } }] }
---
`,
  )
  .join("");

export class LoadedMesh {
  readonly sidecars: TestSidecar[] = [];

  private constructor(
    readonly control: ControlMesh,
    private readonly applications: { http: NodeApp; grpc: NodeChild; tcp: EchoServer },
  ) {}

  /** Resolves when one replica answers and every service can be called. */
  static async start(options: Partial<ControlOptions> = {}, sidecar: Partial<SidecarSpec> = {}): Promise<LoadedMesh> {
    const [control, http, grpc, tcp] = await Promise.all([
      startMesh(),
      startNodeApp(),
      startNode("grpc-server.mjs"),
      startEchoServer(),
    ]);
    const mesh = new LoadedMesh(control, { http, grpc, tcp });
    await control.startReplica(options);
    const reply = await send(control.ada, applying(POLICY));
    if (reply.kind !== "decided") throw new Error(JSON.stringify(reply));
    const ports = {
      web: 1,
      app: http.port,
      grpc: Number(grpc.greeting),
      db: tcp.port,
    };
    for (const [index, [name, appPort]] of Object.entries(ports).entries()) {
      const bound = { namespace: "shop", name: "db", address: { host: "127.0.0.1", port: 0 } };
      const upstreams = name === "web" ? [bound] : [];
      mesh.sidecars.push(
        await startTestSidecar(control.nats, { service: `shop/${name}`, appPort, upstreams, ...sidecar }, index),
      );
    }
    await mesh.ready();
    return mesh;
  }

  get web(): TestSidecar {
    const [web] = this.sidecars;
    if (web === undefined) throw new Error("no sidecar has been started");
    return web;
  }

  /** Every sidecar can take traffic, and web knows where the others are. */
  async ready(): Promise<void> {
    await eventually(async () => {
      for (const { sidecar } of this.sidecars) {
        const missing = sidecar.notReady();
        if (missing !== undefined) throw new Error(missing);
      }
      const clusters = await clustersOf(this.web);
      if (clusters.filter(({ endpoints }) => endpoints.length === 1).length < 3) throw new Error("not all are known");
    }, 30_000);
  }

  load(): Promise<ConstantLoad> {
    return ConstantLoad.start({
      outboundPort: this.web.sidecar.outboundAddress.port,
      http: "app",
      grpc: "grpc",
      tcpPort: this.web.sidecar.upstreamAddresses[0]?.port ?? 0,
    });
  }

  async stop(): Promise<void> {
    for (const sidecar of this.sidecars) await sidecar.stop();
    await this.control.stop();
    await this.applications.http.kill();
    await this.applications.grpc.kill();
    this.applications.tcp.close();
  }
}
