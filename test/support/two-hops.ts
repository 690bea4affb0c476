/** Two services, `shop/web` and `shop/catalog`, with a sidecar each: web's is called, catalog's has the application. */

import type { Limits } from "../../src/proxy/limits.ts";
import { type AccessLine, CallingWeb } from "./calling-web.ts";
import { TestMesh, type TestSidecar } from "./mesh.ts";
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

export interface TwoHopsOptions {
  /** Documents beside the two services; replaces the rule that lets web call everything. */
  readonly policy?: string;
  readonly limits?: Partial<Limits>;
}

/** One that joined later, and its application. */
export interface JoinedInstance extends TestSidecar {
  readonly app: NodeApp;
}

export class TwoHops extends CallingWeb {
  /** Applications beside the first. */
  readonly #others: NodeApp[] = [];

  private constructor(
    mesh: TestMesh,
    web: TestSidecar,
    readonly catalog: TestSidecar,
    readonly app: NodeApp,
  ) {
    super(mesh, web);
  }

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

  override reaches(count: number, service = "catalog"): Promise<void> {
    return super.reaches(count, service);
  }

  /** The first line of the access log whose path is `path`. */
  line(path: string, of: TestSidecar = this.web): Promise<AccessLine> {
    return this.findLine((line) => line.path === path, of);
  }

  async metrics(of: TestSidecar = this.web): Promise<string> {
    return (await fetch(`${of.admin}/stats/prometheus`)).text();
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    await Promise.all([this.app, ...this.#others].map((app) => app.kill()));
  }
}
