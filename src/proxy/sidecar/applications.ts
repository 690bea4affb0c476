/** The application beside us: where it listens for each port of its Service, and the connections to it. */

import type { Address } from "../io/address.ts";
import type { ApplicationProtocol } from "../io/tls.ts";
import type { Runtime } from "../runtime.ts";
import type { EndpointState } from "../upstream/member.ts";
import { Pool } from "../upstream/pool.ts";

export interface ApplicationAddresses {
  /** For every port that has no address of its own; absent: such a port has no application. */
  readonly application?: Address | undefined;
  readonly applicationPorts?: ReadonlyMap<number, Address> | undefined;
}

/** One address of the application, by each protocol that it may speak. */
type ByProtocol = Readonly<Record<ApplicationProtocol, EndpointState>>;

export class Applications {
  readonly #byPort: ReadonlyMap<number, ByProtocol>;
  readonly #others: ByProtocol | undefined;

  constructor({ application, applicationPorts = new Map() }: ApplicationAddresses, runtime: Runtime) {
    this.#others = application && endpointsAt(application, runtime);
    this.#byPort = new Map(Array.from(applicationPorts, ([port, address]) => [port, endpointsAt(address, runtime)]));
  }

  /** Undefined: nothing listens for this port. */
  at(port: number, protocol: ApplicationProtocol): EndpointState | undefined {
    return (this.#byPort.get(port) ?? this.#others)?.[protocol];
  }

  close(): void {
    for (const byProtocol of [...this.#byPort.values(), this.#others]) {
      for (const { pool } of Object.values(byProtocol ?? {})) pool.close();
    }
  }
}

function endpointsAt(address: Address, runtime: Runtime): ByProtocol {
  const endpoint = (protocol: ApplicationProtocol): EndpointState => ({
    endpoint: { instance: "application", ...address, labels: {} },
    pool: new Pool({
      address,
      runtime,
      protocol,
      bounds: () => ({ idleTimeoutMs: runtime.limits.applicationIdleTimeoutMs }),
    }),
    active: 0,
  });
  return { "http/1.1": endpoint("http/1.1"), h2: endpoint("h2"), tcp: endpoint("tcp") };
}
