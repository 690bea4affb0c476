/** Everybody who may come to call a service: the services of the mesh, and whom its rules and its ports let in beside. */

import { parseServiceRef } from "../policy/names.ts";
import { isSpiffePattern, NO_IDENTITY } from "../policy/principal.ts";
import { callersOf, type ServiceName } from "../projections/call-graph.ts";
import type { CallJudge } from "./call.ts";
import type { CallFacts } from "./called-side.ts";
import { anyOf, exampleOf, NOBODY, type Source } from "./source.ts";

/** A caller, or callers of one kind, for whom one of them stands. */
export interface CallerKind {
  /** As rules name them: `shop/web`, `none`, `spiffe://partner.example/*`. */
  readonly name: string;
  readonly source: Source;
  /** What its calls need to arrive at all. */
  readonly facts: CallFacts;
}

/**
 * The services by name that policy lets in for some call, those without an identity, and those of other trust domains. To
 * all other services of the mesh, the called one is out of reach.
 */
export function callerKinds(judge: CallJudge, service: ServiceName): CallerKind[] {
  const services = [...callersOf(judge.state, service)].sort().flatMap((name): CallerKind[] => {
    const source = parseServiceRef(name);
    return source === undefined ? [] : [{ name, source, facts: {} }];
  });
  return [...services, ...unidentified(judge, service), ...foreign(judge, service)];
}

/** Callers without an identity, where any port takes plaintext: asked about the first that does. */
function unidentified(judge: CallJudge, service: ServiceName): CallerKind[] {
  const { ports } = judge.inbound(service).snapshot.inbound;
  const open = ports.find(({ mtls }) => mtls !== undefined);
  if (open === undefined) return [];
  return [{ name: NO_IDENTITY, source: NOBODY, facts: open === ports[0] ? {} : { port: open.port } }];
}

/** Of each trust domain that is believed: whom the rules name, and anybody else. */
function foreign(judge: CallJudge, service: ServiceName): CallerKind[] {
  const { access } = judge.inbound(service).snapshot.inbound;
  const named = new Set(access.flatMap(({ from = [], notFrom = [] }) => [...from, ...notFrom]).filter(isSpiffePattern));
  const believed = [...judge.state.federation.keys()].sort().map(anyOf);
  return believed.flatMap((domain) => {
    const own = [...named].filter((pattern) => pattern.startsWith(domain.slice(0, -1)) && pattern !== domain).sort();
    return [...own, domain].flatMap((name): CallerKind[] => {
      const source = exampleOf(name);
      return source === undefined ? [] : [{ name, source, facts: {} }];
    });
  });
}
