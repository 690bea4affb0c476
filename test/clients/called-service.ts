/** A mesh of two for one test: `shop/web` calls, `shop/app` is called, and speaks what the test needs. */

import { readFile } from "node:fs/promises";
import type { Limits } from "../../src/proxy/limits.ts";
import type { HealthCheck } from "../../src/proxy/sidecar/app-health.ts";
import { eventually, TestMesh, type TestSidecar } from "../support/mesh.ts";
import { openToWeb, serviceDocument } from "../support/policy.ts";

export interface CalledServiceOptions {
  readonly protocol: "http" | "http2" | "grpc" | "tcp";
  /** Of the application. */
  readonly port: number;
  /** Documents beside the two services. */
  readonly policy?: string;
  readonly appHealth?: HealthCheck;
  readonly limits?: Partial<Limits>;
}

export interface AccessLine {
  readonly request_id: string;
  readonly response_code: number;
  readonly response_flags: string;
  readonly response_code_details: string | null;
}

export class CalledService {
  private constructor(
    readonly mesh: TestMesh,
    readonly web: TestSidecar,
    readonly app: TestSidecar,
  ) {}

  /** Resolves when calls can be made. */
  static async start({ protocol, port, policy = "", appHealth, limits = {} }: CalledServiceOptions) {
    const mesh = await TestMesh.start();
    await mesh.apply(serviceDocument("web", "http") + serviceDocument("app", protocol) + openToWeb("app") + policy);
    const bound = { namespace: "shop", name: "app", address: { host: "127.0.0.1", port: 0 } };
    const web = await mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams: [bound], limits });
    const health = appHealth === undefined ? {} : { appHealth };
    const app = await mesh.startSidecar({ service: "shop/app", appPort: port, limits, ...health });
    const service = new CalledService(mesh, web, app);
    await mesh.converged();
    await eventually(async () => {
      const clusters = (await (await fetch(`${web.admin}/clusters`)).json()) as { endpoints: unknown[] }[];
      if (clusters[0]?.endpoints.length !== 1) throw new Error("web does not know where app is");
    });
    return service;
  }

  /** Web's listener for every service. */
  get outboundPort(): number {
    return this.web.sidecar.outboundAddress.port;
  }

  /** Web's listener for `shop/app` alone. */
  get boundPort(): number {
    return this.web.sidecar.upstreamAddresses[0]?.port ?? 0;
  }

  /** The line of web's access log about the request with this `x-request-id`, once it is there. */
  async line(requestId: string): Promise<AccessLine> {
    return eventually(async () => {
      const texts = (await readFile(this.web.accessLogFile, "utf8")).split("\n").filter((text) => text !== "");
      const found = texts.map((text) => JSON.parse(text) as AccessLine).find((line) => line.request_id === requestId);
      if (found === undefined) throw new Error(`no line for ${requestId}`);
      return found;
    });
  }

  stop(): Promise<void> {
    return this.mesh.stop();
  }
}
