/** What runs in the shop: five services, two versions of one of them, and one version twice. */

import { freePort } from "./ports.ts";

export interface Instance {
  /** Unique in the shop; also the instance's name in the mesh. */
  readonly name: string;
  readonly service: "web" | "orders" | "payment" | "catalog";
  /** File in examples/shop/. */
  readonly program: string;
  readonly version: string;
  readonly ports: {
    readonly service: number;
    /** Of the sidecar: for peers, for the service's own calls, for whoever looks after it. */
    readonly inbound: number;
    readonly outbound: number;
    readonly admin: number;
  };
}

const PLANNED: readonly Omit<Instance, "ports">[] = [
  { name: "web", service: "web", program: "web.ts", version: "v1" },
  { name: "orders", service: "orders", program: "orders.ts", version: "v1" },
  { name: "payment", service: "payment", program: "payment.ts", version: "v1" },
  { name: "catalog-v1a", service: "catalog", program: "catalog.ts", version: "v1" },
  // One of these two dies in the story.
  { name: "catalog-v1b", service: "catalog", program: "catalog.ts", version: "v1" },
  { name: "catalog-v2", service: "catalog", program: "catalog.ts", version: "v2" },
];

/** Gives every instance its ports. */
export function planInstances(): Promise<Instance[]> {
  return Promise.all(
    PLANNED.map(async (planned) => {
      const [service, inbound, outbound, admin] = [
        await freePort(),
        await freePort(),
        await freePort(),
        await freePort(),
      ];
      return { ...planned, ports: { service, inbound, outbound, admin } };
    }),
  );
}
