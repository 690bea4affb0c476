/** Services that call one another in a row, each beside its sidecar: `web` → `a` → `b` → …, the last one as a test says. */

import { eventually, TestMesh, type TestSidecar } from "./mesh.ts";

/** What arrived at one application. */
export interface Arrival {
  readonly path: string;
  readonly headers: Headers;
  /** The sidecar gave the request up before it was answered. */
  readonly abandoned: () => boolean;
  answered: boolean;
}

export interface ChainOptions {
  /** Names of the services behind `web`, in order. */
  readonly services: readonly string[];
  /** Fields of the Service document of each, after its ports. */
  readonly spec?: string;
  /** The one rule of the Route of each, in flow style. */
  readonly rule: string;
  /** What the last application answers. */
  readonly last: (request: Request) => Response | Promise<Response>;
  /** Which fields an application passes on to the next. */
  readonly passesOn?: readonly string[];
}

export class Chain {
  readonly arrivals = new Map<string, Arrival[]>();
  readonly sidecars = new Map<string, TestSidecar>();
  readonly #apps: Bun.Server<undefined>[] = [];

  private constructor(
    readonly mesh: TestMesh,
    readonly web: TestSidecar,
    private readonly options: ChainOptions,
  ) {}

  /** Resolves when a call to `/ready` gets to the end. */
  static async start(options: ChainOptions): Promise<Chain> {
    const mesh = await TestMesh.start();
    await mesh.apply(documents(options));
    const web = await mesh.startSidecar({ service: "shop/web", appPort: 1 });
    const chain = new Chain(mesh, web, options);
    for (const [index, name] of options.services.entries()) {
      const appPort = chain.#app(name, options.services[index + 1]);
      chain.sidecars.set(name, await mesh.startSidecar({ service: `shop/${name}`, appPort }));
    }
    await mesh.converged();
    await eventually(async () => {
      const response = await chain.call("/ready");
      if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    });
    for (const list of chain.arrivals.values()) list.length = 0;
    return chain;
  }

  /** A call of `web` to the first service. */
  call(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string>), host: this.options.services[0] ?? "" };
    return fetch(`${this.web.outbound}${path}`, { ...init, headers });
  }

  at(name: string): readonly Arrival[] {
    return this.arrivals.get(name) ?? [];
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    for (const app of this.#apps) await app.stop(true);
  }

  /** Works as applications do that do not care whether anybody waits: it never gives up a call of its own. */
  #app(name: string, next: string | undefined): number {
    const seen: Arrival[] = [];
    this.arrivals.set(name, seen);
    const { last, passesOn = ["x-request-id"] } = this.options;
    const app = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: async (request) => {
        const { pathname } = new URL(request.url);
        const abandoned = (): boolean => request.signal.aborted;
        const arrival = { path: pathname, headers: request.headers, abandoned, answered: false };
        seen.push(arrival);
        if (next === undefined) return pathname === "/ready" ? new Response("ready") : last(request);
        const headers: Record<string, string> = { host: next };
        for (const field of passesOn) headers[field] = request.headers.get(field) ?? "";
        const response = await fetch(`${this.sidecars.get(name)?.outbound}${pathname}`, { headers });
        const text = await response.text();
        arrival.answered = true;
        return new Response(text, { status: response.status });
      },
    });
    this.#apps.push(app);
    return app.port ?? 0;
  }
}

function documents({ services, spec = "", rule }: ChainOptions): string {
  const all = ["web", ...services].map((name, index, names) => {
    const service = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: [{ port: 8080, protocol: http }]${name === "web" ? "" : spec} }
`;
    if (index === 0) return service;
    return `${service}---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [{ allow: { from: [shop/${names[index - 1]}] } }] }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: ${name} }
spec: { service: ${name}, rules: [${rule}] }
`;
  });
  return all.join("---\n");
}
