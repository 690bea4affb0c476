/** One caller, `shop/web`, and services of as many instances as a test asks for, whose applications do as they are told. */

import type { ClusterView } from "../../src/proxy/sidecar/data-plane.ts";
import { clustersOf, untilInForce } from "./calling-web.ts";
import { eventually, TestMesh, type TestSidecar } from "./mesh.ts";
import { openToWeb } from "./policy.ts";
import type { SidecarSpec } from "./sidecars.ts";

/** Documents of a service, as far as a test has something to say; in flow style. */
export interface FleetService {
  /** Fields of the Service beside its port, each followed by a comma. */
  readonly spec?: string;
  /** Rules of its Route. */
  readonly rules?: string;
  /** Rules of its RateLimit. */
  readonly limits?: string;
}

/** What arrived at an application. */
export interface Arrival {
  readonly instance: string;
  readonly path: string;
  readonly headers: Headers;
}

type Behaviour = (request: Request) => Response | Promise<Response>;

const DAY_MS = 86_400_000;
/** A clock that is set ahead must not make connections look dead. */
const PATIENT = { idleTimeoutMs: DAY_MS, upstreamIdleTimeoutMs: DAY_MS, keepAliveIntervalMs: DAY_MS };

export class Fleet {
  readonly arrivals: Arrival[] = [];
  /** By instance: how it answers; with its own name by default. */
  readonly behaviour = new Map<string, Behaviour>();
  /** By how much the monotonic clock of every sidecar goes ahead of the real one. Milliseconds. */
  aheadMs = 0;
  readonly #sidecars = new Map<string, TestSidecar>();
  readonly #apps: Bun.Server<undefined>[] = [];
  #web: TestSidecar | undefined;

  private constructor(readonly mesh: TestMesh) {}

  static async start(
    services: Readonly<Record<string, FleetService>>,
    web: Partial<SidecarSpec> = {},
    more = "",
  ): Promise<Fleet> {
    const fleet = new Fleet(await TestMesh.start());
    await fleet.mesh.apply(documents("web", {}) + more);
    for (const [name, service] of Object.entries(services)) await fleet.declare(name, service);
    fleet.#web = await fleet.#sidecar({ service: "shop/web", appPort: 1, ...web });
    return fleet;
  }

  get web(): TestSidecar {
    if (this.#web === undefined) throw new Error("the caller has not been started");
    return this.#web;
  }

  /** Declares a service, or anew. */
  declare(name: string, service: FleetService): Promise<number> {
    return this.mesh.apply(documents(name, service) + openToWeb(name));
  }

  /** Declares a service anew, and resolves when its caller goes by that. */
  async redeclare(name: string, service: FleetService): Promise<void> {
    await untilInForce(this.web, await this.declare(name, service));
  }

  /** Starts instances of a service, one after the other, and resolves when its caller knows all of them. */
  async add(service: string, instances: Readonly<Record<string, Partial<SidecarSpec>>>): Promise<void> {
    for (const [name, spec] of Object.entries(instances)) {
      const appPort = this.application(name);
      this.#sidecars.set(name, await this.#sidecar({ service: `shop/${service}`, appPort, ...spec }));
      await eventually(async () => {
        if (!(await this.#knows(service, name))) throw new Error(`${name} is not known`);
      });
    }
  }

  sidecar(instance: string): TestSidecar {
    const found = this.#sidecars.get(instance);
    if (found === undefined) throw new Error(`there is no ${instance}`);
    return found;
  }

  /** What the caller's sidecar says of the instances of a service. */
  async endpoints(service: string): Promise<ClusterView["endpoints"]> {
    const clusters = await clustersOf(this.web);
    return clusters.find((cluster) => cluster.service === `shop/${service}`)?.endpoints ?? [];
  }

  /** Why instances are left out, by name. */
  async avoided(service: string): Promise<Record<string, string>> {
    const all = await this.endpoints(service);
    const names = new Map(Array.from(this.#sidecars, ([name, sidecar]) => [this.#addressOf(sidecar), name]));
    return Object.fromEntries(
      all.flatMap(({ address, avoided }) => (avoided === undefined ? [] : [[names.get(address) ?? address, avoided]])),
    );
  }

  call(host: string, path = "/", init: RequestInit = {}): Promise<Response> {
    const headers = { host, ...(init.headers as Record<string, string>) };
    return fetch(`${this.web.outbound}${path}`, { ...init, headers });
  }

  /** Calls one after the other; how often each instance was asked. */
  async asked(host: string, count: number, init?: RequestInit): Promise<Record<string, number>> {
    const before = this.arrivals.length;
    for (let n = 0; n < count; n++) await (await this.call(host, "/", init)).text();
    const counts: Record<string, number> = {};
    for (const { instance } of this.arrivals.slice(before)) counts[instance] = (counts[instance] ?? 0) + 1;
    return counts;
  }

  /** Value of the first series of the caller's metrics that begins so; 0 where there is none. */
  async metric(series: string): Promise<number> {
    const page = await (await fetch(`${this.web.admin}/metrics`)).text();
    const line = page.split("\n").find((text) => text.startsWith(series)) ?? " 0";
    return Number(line.slice(line.lastIndexOf(" ")));
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    for (const app of this.#apps) await app.stop(true);
  }

  #sidecar(spec: SidecarSpec): Promise<TestSidecar> {
    const monotonicMs = (): number => performance.now() + this.aheadMs;
    return this.mesh.startSidecar({ monotonicMs, ...spec, limits: { ...PATIENT, ...spec.limits } });
  }

  async #knows(service: string, instance: string): Promise<boolean> {
    const own = this.#addressOf(this.sidecar(instance));
    return (await this.endpoints(service)).some(({ address }) => address === own);
  }

  #addressOf({ sidecar }: TestSidecar): string {
    return `127.0.0.1:${sidecar.inboundAddress.port}`;
  }

  /** Starts the application of an instance, and returns its port. */
  application(instance: string): number {
    const app = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        this.arrivals.push({ instance, path: pathname, headers: request.headers });
        return this.behaviour.get(instance)?.(request) ?? new Response(instance);
      },
    });
    this.#apps.push(app);
    return app.port ?? 0;
  }
}

function documents(name: string, { spec = "", rules, limits }: FleetService): string {
  const document = (kind: string, fields: string): string =>
    `apiVersion: heddle/v1\nkind: ${kind}\nmetadata: { namespace: shop, name: ${name} }\nspec: { ${fields} }\n---\n`;
  return (
    document("Service", `${spec} ports: [{ port: 8080, protocol: http }]`) +
    (rules === undefined ? "" : document("Route", `service: ${name}, rules: [${rules}]`)) +
    (limits === undefined ? "" : document("RateLimit", `service: ${name}, rules: [${limits}]`))
  );
}
