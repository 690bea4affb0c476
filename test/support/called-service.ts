/** A mesh of two for one test: `shop/web` calls, `shop/app` is called, and speaks what the test needs. */

import type { Limits } from "../../src/proxy/limits.ts";
import type { HealthCheck } from "../../src/proxy/sidecar/app-health.ts";
import { type AccessLine, CallingWeb } from "./calling-web.ts";
import { TestMesh, type TestSidecar } from "./mesh.ts";
import { openToWeb, serviceDocument } from "./policy.ts";

export interface CalledServiceOptions {
  readonly protocol: "http" | "http2" | "grpc" | "tcp";
  /** Of the application. */
  readonly port: number;
  /** Documents beside the two services. */
  readonly policy?: string;
  readonly appHealth?: HealthCheck;
  readonly limits?: Partial<Limits>;
}

export class CalledService extends CallingWeb {
  private constructor(
    mesh: TestMesh,
    web: TestSidecar,
    readonly app: TestSidecar,
  ) {
    super(mesh, web);
  }

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
    await service.reaches(1, "app");
    return service;
  }

  /** Web's listener for `shop/app` alone. */
  get boundPort(): number {
    return this.web.sidecar.upstreamAddresses[0]?.port ?? 0;
  }

  /** The line of web's access log about the request with this `x-request-id`. */
  line(requestId: string): Promise<AccessLine> {
    return this.findLine((line) => line.request_id === requestId, this.web);
  }

  stop(): Promise<void> {
    return this.mesh.stop();
  }
}
