/**
 * Calls that leave the mesh: to where the application meant them to go, unchanged and unsecured. Only redirected
 * connections have such a place, and only a sidecar that was told so lets them through.
 */

import type { Address } from "./io/address.ts";
import type { Downstream } from "./io/downstream.ts";
import type { Runtime } from "./runtime.ts";
import type { CallPlan } from "./upstream/call-plan.ts";
import type { EndpointState } from "./upstream/member.ts";
import { Pool } from "./upstream/pool.ts";

/** Access log and metrics name such calls as Istio does. */
export const PASSTHROUGH = "PassthroughCluster";

export class Passthrough {
  readonly #runtime: Runtime;
  /** By connection, as if it reached through: what came in on one goes out on its own. */
  readonly #endpoints = new WeakMap<Downstream, EndpointState>();
  /** Our ends of the connections that are open, as `address:port`. */
  readonly #ownEnds = new Set<string>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /**
   * Whether the connection is one of our own that was redirected back to us, since interception exempts another user
   * than the one we run as. Asked when data came on it, so that its other end is open by then.
   */
  isOwn({ facts }: Downstream): boolean {
    return this.#ownEnds.has(facts.remoteAddress);
  }

  plan(downstream: Downstream, destination: Address): CallPlan {
    const endpoint = this.#endpoint(downstream, destination);
    return {
      pick: (tried) => (tried.length === 0 ? endpoint : undefined),
      retries: undefined,
      budget: undefined,
      head: (head) => head,
    };
  }

  #endpoint(downstream: Downstream, destination: Address): EndpointState {
    let endpoint = this.#endpoints.get(downstream);
    if (endpoint === undefined) {
      const runtime = this.#runtime;
      const pool = new Pool({
        address: destination,
        runtime,
        protocol: downstream.protocol ?? "tcp",
        bounds: () => ({ idleTimeoutMs: runtime.limits.applicationIdleTimeoutMs }),
        onOpened: ({ localAddress = "" }) => {
          this.#ownEnds.add(localAddress);
          return () => this.#ownEnds.delete(localAddress);
        },
      });
      endpoint = { endpoint: { instance: PASSTHROUGH, ...destination, labels: {} }, pool, active: 0 };
      this.#endpoints.set(downstream, endpoint);
    }
    return endpoint;
  }
}
