/** `revoke-identity` and `reinstate-identity`: whom the mesh believes no longer, and whom it believes again. */

import { serviceRef } from "../policy/names.ts";
import { ok, type Result } from "../policy/result.ts";
import type { CommandBody, Decision, Refusal } from "./commands.ts";
import { problem, refuse, refuseForeign } from "./decision-plan.ts";
import { tokenId } from "./describe.ts";
import { itemList } from "./item-list.ts";
import { EMPTY_NAMESPACE, type IdentityRevocation, type MeshState } from "./state.ts";

export type IdentityCommand = Extract<CommandBody, { kind: "revoke-identity" | "reinstate-identity" }>;

/** Certificates of one service that are revoked one by one; they stand in every snapshot that may meet it. */
const SERIALS_MAX = 1_000;
/** Instances of one service for which nothing is signed. */
const INSTANCES_MAX = 1_000;

/** No events where everything is as the command wants it already. */
export function decideIdentity(state: MeshState, namespace: string, body: IdentityCommand): Result<Decision, Refusal> {
  const { service } = body;
  const foreign = refuseForeign(service, namespace);
  if (foreign !== undefined) return foreign;
  const { revocations, services } = state.namespaces.get(namespace) ?? EMPTY_NAMESPACE;
  const known = revocations.get(service.name);
  if (body.kind === "reinstate-identity") return reinstate(known, body);
  const warnings = services.has(service.name) ? [] : [`${serviceRef(namespace, service.name)} is not declared`];
  if (body.instance !== undefined) warnings.push(...waysBack(state, body));
  return revoke(known, body, warnings);
}

/** An instance chooses its name, so a token that is still good admits its holder again under another name. */
function waysBack(
  { tokens }: MeshState,
  { service: { namespace, name } }: Extract<IdentityCommand, { kind: "revoke-identity" }>,
): string[] {
  const good = [...tokens.values()].filter(
    ({ namespace: within, service, usesMax, instances }) =>
      within === namespace && service === name && (usesMax === undefined || instances.length < usesMax),
  );
  if (good.length === 0) return [];
  const names = itemList(good.map(({ publicKey }) => tokenId(publicKey)));
  const of = `the join token${good.length === 1 ? "" : "s"} ${names} of ${serviceRef(namespace, name)}`;
  return [
    `whoever holds ${of} can join again under another name: if that may be somebody you do not trust, heddle token revoke`,
  ];
}

function revoke(
  known: IdentityRevocation | undefined,
  { service, serial, instance }: Extract<IdentityCommand, { kind: "revoke-identity" }>,
  warnings: string[],
): Result<Decision, Refusal> {
  const { namespace, name } = service;
  const ref = serviceRef(namespace, name);
  if (known?.whole !== undefined) {
    const { actor, revision } = known.whole;
    return ok({ events: [], warnings: [`${ref} is revoked already, by ${actor} at revision ${revision}`] });
  }
  const serialKnown = serial === undefined || known?.serials.has(serial) === true;
  const instanceKnown = instance === undefined || known?.instances.has(instance) === true;
  const isWhole = serial === undefined && instance === undefined;
  if (!isWhole && serialKnown && instanceKnown) {
    return ok({ events: [], warnings: [`${serial ?? instance} of ${ref} is revoked already`] });
  }
  const isFull = (known?.serials.size ?? 0) >= SERIALS_MAX || (known?.instances.size ?? 0) >= INSTANCES_MAX;
  if (!isWhole && isFull) {
    const advice = "revoke the service as a whole and reinstate it, which refuses every certificate issued until now";
    return refuse(problem("serial", `${ref} has too many single revocations: ${advice}`));
  }
  const event = {
    type: "IdentityRevoked",
    namespace,
    service: name,
    ...(serial === undefined ? {} : { serial }),
    ...(instance === undefined ? {} : { instance }),
  } as const;
  return ok({ events: [event], warnings });
}

function reinstate(
  known: IdentityRevocation | undefined,
  { service, instance }: Extract<IdentityCommand, { kind: "reinstate-identity" }>,
): Result<Decision, Refusal> {
  const { namespace, name } = service;
  const isRevoked = instance === undefined ? known?.whole !== undefined : known?.instances.has(instance) === true;
  if (!isRevoked) {
    const what = instance === undefined ? serviceRef(namespace, name) : `${instance} of ${serviceRef(namespace, name)}`;
    return ok({ events: [], warnings: [`${what} is not revoked`] });
  }
  const event = {
    type: "IdentityReinstated",
    namespace,
    service: name,
    ...(instance === undefined ? {} : { instance }),
  } as const;
  return ok({ events: [event], warnings: [] });
}
