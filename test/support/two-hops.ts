/** Two services, `shop/web` and `shop/catalog`, with a sidecar each: web's is called, catalog's has the application. */

import { readFile } from "node:fs/promises";
import type { Limits } from "../../src/proxy/limits.ts";
import { eventually, TestMesh, type TestSidecar } from "./mesh.ts";
import { type NodeApp, startNodeApp } from "./node-app.ts";
import { RawClient } from "./raw-client.ts";

const SERVICES = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec:
  ports: [{ port: 8080, protocol: http }]
  subsets: { v1: { version: v1 }, v2: { version: v2 }, v3: { version: v3 } }
  loadBalancer: { algorithm: least-request }
`;

const OPEN = `
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: storefront }
spec:
  service: catalog
  rules: [{ allow: { from: [shop/web] } }]
`;

export interface AccessLine {
  readonly path: string;
  readonly response_code: number;
  readonly response_flags: string;
  readonly response_code_details: string | null;
  readonly policy_origin: string | null;
  readonly upstream_host: string | null;
  readonly bytes_received: number;
  readonly bytes_sent: number;
  /** Milliseconds. */
  readonly duration: number;
}

export interface TwoHopsOptions {
  /** Documents beside the two services; replaces the rule that lets web call everything. */
  readonly policy?: string;
  readonly limits?: Partial<Limits>;
}

/** One that joined later, and its application. */
export interface JoinedInstance extends TestSidecar {
  readonly app: NodeApp;
}

export class TwoHops {
  /** Applications beside the first. */
  readonly #others: NodeApp[] = [];

  private constructor(
    readonly mesh: TestMesh,
    readonly web: TestSidecar,
    readonly catalog: TestSidecar,
    readonly app: NodeApp,
  ) {}

  /** Resolves when calls arrive. */
  static async start({ policy = OPEN, limits = {} }: TwoHopsOptions = {}): Promise<TwoHops> {
    const [mesh, app] = await Promise.all([TestMesh.start(), startNodeApp("v1")]);
    await mesh.apply(SERVICES + policy);
    const web = await mesh.startSidecar({ service: "shop/web", appPort: 1, limits });
    const labels = { version: "v1" };
    const catalog = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port, labels, limits });
    const hops = new TwoHops(mesh, web, catalog, app);
    await mesh.converged();
    await hops.reaches(1);
    return hops;
  }

  /**
   * Another instance of `shop/<service>`, with an application of its own. Resolves when web knows it; `of` is how many of
   * the service there are then.
   */
  async join(service: string, instance: string, of: number): Promise<JoinedInstance> {
    const app = await startNodeApp(instance);
    this.#others.push(app);
    const labels = { version: instance };
    const sidecar = await this.mesh.startSidecar({ service: `shop/${service}`, appPort: app.port, labels });
    await this.mesh.converged();
    await this.reaches(of, service);
    return { ...sidecar, app };
  }

  get outboundPort(): number {
    return this.web.sidecar.outboundAddress.port;
  }

  call(path: string, init: RequestInit = {}, host = "catalog"): Promise<Response> {
    return fetch(`${this.web.outbound}${path}`, {
      ...init,
      headers: { host, ...(init.headers as Record<string, string>) },
    });
  }

  /** A connection to web's outbound listener. */
  connect(): Promise<RawClient> {
    return RawClient.connect(this.outboundPort);
  }

  /** Waits until web's sidecar knows `count` endpoints of a service. */
  async reaches(count: number, service = "catalog"): Promise<void> {
    await eventually(async () => {
      const cluster = (await this.clusters()).find((one) => one.service === `shop/${service}`);
      if (cluster?.endpoints.length !== count) throw new Error(`web knows ${cluster?.endpoints.length} endpoints`);
    });
  }

  async clusters(of: TestSidecar = this.web): Promise<Cluster[]> {
    return (await (await fetch(`${of.admin}/clusters`)).json()) as Cluster[];
  }

  /** The first line of the access log whose path is `path`. */
  async line(path: string, of: TestSidecar = this.web): Promise<AccessLine> {
    return eventually(async () => {
      const lines = (await readFile(of.accessLogFile, "utf8")).split("\n").filter((text) => text !== "");
      const found = lines.map((text) => JSON.parse(text) as AccessLine).find((line) => line.path === path);
      if (found === undefined) throw new Error(`no line for ${path} among ${lines.length}`);
      return found;
    });
  }

  async metrics(of: TestSidecar = this.web): Promise<string> {
    return (await fetch(`${of.admin}/stats/prometheus`)).text();
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    await Promise.all([this.app, ...this.#others].map((app) => app.kill()));
  }
}

interface Cluster {
  readonly service: string;
  readonly endpoints: readonly {
    readonly instance: string;
    readonly activeRequests: number;
    readonly pendingRequests: number;
    readonly connections: number;
  }[];
}
