/** The state of the mesh as JSON and back: maps become arrays sorted by key, so that one state has one text. */

import { z } from "zod";
import { OPERATOR_ROLES } from "../events/domain-events.ts";
import { injectedFault } from "../events/fault-events.ts";
import type { IdentityRevocation, MeshState, NamespaceState } from "../events/state.ts";
import {
  accessDefault,
  accessRule,
  meshSpec,
  rateLimitSpec,
  routePrecedence,
  routeRule,
  serviceSpec,
} from "../policy/schema.ts";

/** How a projection's state is kept between two runs. */
export interface StateCodec<S> {
  /** Plain JSON data, the same for equal states. */
  toJson(state: S): unknown;
  /** Throws where the data is not such a state. */
  fromJson(data: unknown): S;
}

const revision = z.int().min(0);
const origin = z.strictObject({ revision, actor: z.string(), time: z.string() });

function withOrigin<T>(value: z.ZodType<T>) {
  return z.strictObject({ value, origin });
}

/** A map as its entries; a key that comes twice is no map that this program wrote. */
function entries<T>(value: z.ZodType<T>) {
  return z.array(z.tuple([z.string(), value])).transform((list, context) => {
    const map = new Map(list);
    if (map.size !== list.length) context.addIssue({ code: "custom", message: "a key comes twice" });
    return map;
  });
}

/** The rules of one document, all about one service. */
function rulesOf<T>(rule: z.ZodType<T>) {
  return z.strictObject({ service: z.string(), rules: z.array(withOrigin(rule)), origin });
}

const revocation = z
  .strictObject({
    whole: origin.nullable(),
    issuedBefore: z.string().nullable(),
    serials: entries(origin),
    instances: entries(origin),
  })
  .transform(({ whole, issuedBefore, ...rest }) => ({
    ...rest,
    whole: whole ?? undefined,
    issuedBefore: issuedBefore ?? undefined,
  }));

const injected = injectedFault
  .omit({ id: true })
  .extend({ service: z.string(), origin })
  .transform(({ match, expiresAt, ...rest }) => ({ ...rest, match, expiresAt }));

const namespaceState = z.strictObject({
  revision,
  services: entries(withOrigin(serviceSpec)),
  routes: entries(rulesOf(routeRule).extend({ precedence: routePrecedence.optional() })),
  accessPolicies: entries(
    rulesOf(accessRule).extend({ default: accessDefault.optional(), dryRun: z.literal(true).optional() }),
  ),
  rateLimits: entries(withOrigin(rateLimitSpec)),
  revocations: entries(revocation),
  faults: entries(injected),
});

const operator = z.strictObject({
  name: z.string(),
  publicKey: z.string(),
  role: z.enum(OPERATOR_ROLES),
  namespaces: z.array(z.string()),
});

/** `undefined` within the state; JSON leaves such a field out. */
const joinToken = z
  .strictObject({
    publicKey: z.string(),
    namespace: z.string(),
    service: z.string(),
    expiresAt: z.string().optional(),
    usesMax: z.int().optional(),
    instances: z.array(z.string()),
    origin,
  })
  .transform(({ expiresAt, usesMax, ...rest }) => ({ ...rest, expiresAt, usesMax }));

const revokedKey = z
  .strictObject({ name: z.string(), expiresAt: z.string().optional(), origin })
  .transform(({ expiresAt, ...rest }) => ({ ...rest, expiresAt }));

const trustRoot = z.strictObject({
  fingerprint: z.string(),
  pem: z.string(),
  status: z.enum(["added", "active", "retired"]),
});

const rotation = z
  .strictObject({ from: z.string(), to: z.string().nullable(), paused: z.boolean(), step: revision, origin })
  .transform(({ to, ...rest }) => ({ ...rest, to: to ?? undefined }));

const federatedDomain = z
  .strictObject({ roots: z.array(z.string()), sequence: z.int().min(0).nullable(), origin })
  .transform(({ sequence, ...rest }) => ({ ...rest, sequence: sequence ?? undefined }));

const meshState = z.strictObject({
  revision,
  mesh: withOrigin(meshSpec).nullable(),
  operators: entries(operator),
  tokens: entries(joinToken),
  revokedKeys: entries(revokedKey),
  roots: entries(trustRoot),
  rotation: rotation.nullable(),
  federation: entries(federatedDomain),
  namespaces: entries(namespaceState),
});

export const meshStateCodec: StateCodec<MeshState> = {
  toJson({ revision, mesh, operators, tokens, revokedKeys, roots, rotation, federation, namespaces }) {
    return {
      revision,
      mesh: mesh ?? null,
      operators: sortedEntries(operators),
      tokens: sortedEntries(tokens),
      revokedKeys: sortedEntries(revokedKeys),
      roots: sortedEntries(roots),
      rotation: rotation === undefined ? null : { ...rotation, to: rotation.to ?? null },
      federation: sortedEntries(federation).map(([name, { sequence, ...rest }]) => {
        return [name, { ...rest, sequence: sequence ?? null }];
      }),
      namespaces: sortedEntries(namespaces).map(([name, state]) => [name, namespaceToJson(state)]),
    };
  },
  fromJson(data) {
    const { mesh, rotation, ...rest } = meshState.parse(data);
    return { ...rest, mesh: mesh ?? undefined, rotation: rotation ?? undefined };
  },
};

function namespaceToJson(state: NamespaceState) {
  const { revision, services, routes, accessPolicies, rateLimits, revocations, faults } = state;
  return {
    revision,
    services: sortedEntries(services),
    routes: sortedEntries(routes),
    accessPolicies: sortedEntries(accessPolicies),
    rateLimits: sortedEntries(rateLimits),
    revocations: sortedEntries(revocations).map(([service, value]) => [service, revocationToJson(value)]),
    faults: sortedEntries(faults),
  };
}

function revocationToJson({ whole, issuedBefore, serials, instances }: IdentityRevocation) {
  return {
    whole: whole ?? null,
    issuedBefore: issuedBefore ?? null,
    serials: sortedEntries(serials),
    instances: sortedEntries(instances),
  };
}

/** The entries of a map, by key in code units. */
export function sortedEntries<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
