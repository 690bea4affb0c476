/**
 * NATS's decentralised authentication: an operator signs accounts, an account signs users, and a server that knows
 * only the operator's JWT and the accounts' can judge every user. There is no anonymous user.
 */

import {
  type Account,
  createAccount,
  createOperator,
  decode,
  type Export,
  encodeAccount,
  encodeOperator,
  fromSeed,
  type KeyPair,
} from "@nats-io/jwt";
import { z } from "zod";
import { publicKeyOf } from "./keys.ts";
import { ACCOUNT_BORDER } from "./permissions.ts";
import { UNLIMITED } from "./user-limits.ts";

const issuer = z.strictObject({ jwt: z.string(), seed: z.string() });

/** The keys that a mesh's NATS trusts. Whoever holds an account's seed can mint any of its users. */
export const natsTrust = z.strictObject({
  operator: issuer,
  /** The server's own account. */
  system: issuer,
  /** Control replicas, the ledger and the buckets. */
  control: issuer,
  /** Workloads and operators: whoever asks. */
  clients: issuer,
});

export type NatsTrust = z.infer<typeof natsTrust>;

/** The accounts that the mesh has beside the servers' own. */
export type MeshAccount = "control" | "clients";

const CORE_LIMITS = {
  subs: UNLIMITED,
  data: UNLIMITED,
  payload: UNLIMITED,
  conn: UNLIMITED,
  // No leaf node may join: it could speak for any user of the account.
  leaf: 0,
  imports: UNLIMITED,
  exports: UNLIMITED,
  wildcards: true,
  // A bearer token proves nothing about who sends it.
  disallow_bearer: true,
};

/**
 * JetStream of control's account. Nobody else has any: an account without these limits has no JetStream at all. The
 * ledger must never be refused for want of room that the disk has; what else there is, is few and small.
 */
const JETSTREAM_LIMITS = {
  mem_storage: 256 * 1024 * 1024,
  disk_storage: UNLIMITED,
  streams: 64,
  consumer: 1_024,
};

/** Connections of sidecars and operators at once. */
const CLIENT_CONNECTIONS_MAX = 50_000;

/**
 * Users that are none any more: by public key, up to when what was issued for it is void, in seconds since the epoch. That
 * lies in the future: any JWT of the key is void, however clocks differ, and none outlives that time.
 */
export type VoidKeys = ReadonlyMap<string, number>;

/** For keys whose JWTs do not expire. */
export const FOR_GOOD = Number.MAX_SAFE_INTEGER;

/** A new operator with its accounts. Only control's has JetStream; the clients' sees what crosses the border. */
export async function createTrust(): Promise<NatsTrust> {
  const operator = createOperator();
  const [system, control, clients] = [createAccount(), createAccount(), createAccount()];
  const trust: NatsTrust = {
    operator: {
      jwt: await encodeOperator("heddle", operator, { system_account: system.getPublicKey() }),
      seed: seedOf(operator),
    },
    system: {
      jwt: await encodeAccount("SYS", system, { limits: CORE_LIMITS }, { signer: operator }),
      seed: seedOf(system),
    },
    control: { jwt: "", seed: seedOf(control) },
    clients: { jwt: "", seed: seedOf(clients) },
  };
  const jwt = (account: MeshAccount): Promise<string> => accountJwt(trust, account, new Map());
  return {
    ...trust,
    control: { ...trust.control, jwt: await jwt("control") },
    clients: { ...trust.clients, jwt: await jwt("clients") },
  };
}

/** The JWT of an account as this version of the program wants it. */
export function accountJwt(trust: NatsTrust, account: MeshAccount, revoked: VoidKeys): Promise<string> {
  const name = account === "control" ? "HEDDLE" : "HEDDLE_CLIENTS";
  return encodeAccount(name, pairOf(trust[account].seed), accountClaims(trust, account, revoked), {
    signer: pairOf(trust.operator.seed),
  });
}

/** Whether a text is the whole JWT of an account. */
export function isAccountJwt(text: string, publicKey: string): boolean {
  try {
    return decode<Account>(text).sub === publicKey;
  } catch {
    return false;
  }
}

/** What an account's JWT says beside who issued it and when. */
function accountClaims(trust: NatsTrust, account: MeshAccount, revoked: VoidKeys): Partial<Account> {
  if (account === "control") return { limits: { ...CORE_LIMITS, ...JETSTREAM_LIMITS }, exports: border() };
  const exporter = publicKeyOf(trust.control.seed);
  return {
    limits: { ...CORE_LIMITS, conn: CLIENT_CONNECTIONS_MAX },
    imports: border().map((crossing) => ({ ...crossing, account: exporter })),
    ...(revoked.size === 0
      ? {}
      : { revocations: Object.fromEntries([...revoked].sort(([a], [b]) => (a < b ? -1 : 1))) }),
  };
}

/** The subjects that one account exports and the other imports: a request one way, a feed the other. */
function border(): Export[] {
  return [
    ...ACCOUNT_BORDER.requests.map((subject): Export => ({ name: subject, subject, type: "service" })),
    ...ACCOUNT_BORDER.feeds.map((subject): Export => ({ name: subject, subject, type: "stream" })),
  ];
}

function pairOf(seed: string): KeyPair {
  return fromSeed(new TextEncoder().encode(seed));
}

function seedOf(pair: KeyPair): string {
  return new TextDecoder().decode(pair.getSeed());
}
