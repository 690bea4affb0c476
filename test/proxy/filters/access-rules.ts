/** Callers and rules that tests of access decisions share. */

import type { AccessAction } from "../../../src/policy/schema.ts";
import type { SnapshotAccessRule } from "../../../src/projections/snapshot.ts";
import type { Caller } from "../../../src/proxy/filters/access-input.ts";
import { origin } from "../fixture.ts";

export const web: Caller = { namespace: "shop", service: "web" };
export const orders: Caller = { namespace: "shop", service: "orders" };
export const ledger: Caller = { namespace: "bank", service: "ledger" };
export const partner: Caller = { namespace: "shop", service: "web", trustDomain: "partner.example" };

export function rule(action: AccessAction, rest: Partial<SnapshotAccessRule> = {}, index = 0): SnapshotAccessRule {
  return { action, origin: origin("shop/policy", index), ...rest };
}
