/** Join tokens and void keys from events: who may connect, who may no more, and when that is forgotten. */

import type { DomainEvent } from "./domain-events.ts";
import type { JoinToken, MeshState, Origin, RevokedKey } from "./state.ts";

/** What is kept of keys. */
type Keys = Pick<MeshState, "tokens" | "revokedKeys">;
type TokenEvent = Extract<DomainEvent, { type: `Token${string}` }>;

/** Once a token ended this long ago, no clock can still take it for valid. */
const REMEMBERED_MS = 86_400_000;

/**
 * The keys after one event. What has ended is forgotten when another token is made, by the time of that change, so that
 * every replica forgets alike: whoever makes a token for each deployment does not make the mesh remember them all.
 */
export function evolveTokens(keys: Keys, event: TokenEvent, origin: Origin): Keys {
  const { publicKey, namespace, service } = event;
  const token = keys.tokens.get(publicKey);
  switch (event.type) {
    case "TokenCreated": {
      const { expiresAt, usesMax } = event;
      const created: JoinToken = { publicKey, namespace, service, expiresAt, usesMax, instances: [], origin };
      const endMs = Date.parse(origin.time) - REMEMBERED_MS;
      const tokens = new Map(notEnded(keys.tokens, endMs)).set(publicKey, created);
      return { tokens, revokedKeys: new Map(notEnded(keys.revokedKeys, endMs)) };
    }
    case "TokenUsed": {
      if (token === undefined) return keys;
      const used = { ...token, instances: [...token.instances, event.instance] };
      return { ...keys, tokens: new Map(keys.tokens).set(publicKey, used) };
    }
    case "TokenRevoked": {
      const tokens = new Map(keys.tokens);
      tokens.delete(publicKey);
      const revoked: RevokedKey = { name: `${namespace}/${service}`, expiresAt: token?.expiresAt, origin };
      return { tokens, revokedKeys: new Map(keys.revokedKeys).set(publicKey, revoked) };
    }
  }
}

function notEnded<T extends { readonly expiresAt: string | undefined }>(map: ReadonlyMap<string, T>, endMs: number) {
  // An end that is not a time counts as no end.
  return [...map].filter(([, { expiresAt }]) => expiresAt === undefined || !(Date.parse(expiresAt) < endMs));
}
