/**
 * Whether an instance may join with the key that it presents. The ledger says which join tokens there are; where a
 * token's uses are counted, each is recorded there. Credentials made with the accounts' own keys are not join tokens:
 * only the NATS server's permissions bound those.
 */

import type { Asker } from "../ca/sign-service.ts";
import { sha256Hex } from "../events/chain.ts";
import { SYSTEM_ACTOR } from "../events/commands.ts";
import type { DomainEvent } from "../events/domain-events.ts";
import type { JoinToken, MeshState } from "../events/state.ts";
import { canonicalJson } from "../policy/canonical.ts";
import { serviceRef } from "../policy/names.ts";
import type { Ledger } from "./ledger.ts";

/** Appends that may lose in a row to whoever changes the namespace meanwhile. */
const APPENDS_MAX = 8;

/** Who asks for a certificate, as the NATS server vouches for; the instance's name is its own choice. */
export interface JoiningInstance extends Asker {
  readonly instance: string | undefined;
}

export interface JoinTokensOptions {
  readonly ledger: Ledger;
  /** The state as it was folded last. */
  readonly state: () => MeshState;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly newId: () => string;
}

/**
 * Resolves with why the instance may not join, or with undefined when it may. Rejects when the ledger is out of reach.
 */
export async function admitInstance(
  joining: JoiningInstance,
  { ledger, state, now, newId }: JoinTokensOptions,
): Promise<string | undefined> {
  const known = verdict(state(), joining, now());
  if (known === "admitted") return undefined;
  for (let attempt = 0; attempt < APPENDS_MAX; attempt++) {
    // A token that was made a moment ago, or uses that other replicas have counted.
    const latest = await ledger.latest();
    const found = verdict(latest, joining, now());
    if (found === "admitted" || found === "unknown") return undefined;
    if ("refused" in found) return found.refused;
    const { namespace, service, publicKey } = joining;
    const { instance } = found;
    const events: DomainEvent[] = [{ type: "TokenUsed", namespace, service, publicKey, instance }];
    const command = { kind: "join", id: newId(), digest: sha256Hex(canonicalJson(events)) };
    const draft = { actor: { name: SYSTEM_ACTOR }, reason: "", command, events };
    if ((await ledger.append(latest, namespace, draft)).ok) return undefined;
  }
  return "the authority is busy: try again in a few seconds";
}

/** With `instance`: it may join once that is recorded. `unknown`: the key is no token's. */
type Verdict = "admitted" | "unknown" | { readonly instance: string } | { readonly refused: string };

function verdict({ tokens, revokedKeys }: MeshState, joining: JoiningInstance, nowMs: number): Verdict {
  const { publicKey, namespace, service, instance } = joining;
  if (revokedKeys.has(publicKey)) return { refused: "the join token is revoked" };
  const token = tokens.get(publicKey);
  if (token === undefined) return "unknown";
  if (token.namespace !== namespace || token.service !== service) {
    return { refused: `the join token is for ${serviceRef(token.namespace, token.service)}` };
  }
  if (token.expiresAt !== undefined && Date.parse(token.expiresAt) <= nowMs) {
    return { refused: `the join token has expired at ${token.expiresAt}` };
  }
  return useVerdict(token, instance);
}

function useVerdict({ usesMax, instances }: JoinToken, instance: string | undefined): Verdict {
  if (usesMax === undefined) return "admitted";
  if (instance === undefined) return { refused: "the token's uses are counted, and the request names no instance" };
  if (instances.includes(instance)) return "admitted";
  if (instances.length < usesMax) return { instance };
  const all = usesMax === 1 ? "1 instance has joined" : `${usesMax} instances have joined`;
  return { refused: `${all} with the token, which is all that it is good for: create another one` };
}
