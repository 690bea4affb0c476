/**
 * NATS's decentralised authentication: an operator signs accounts, the account signs users, and a server that knows
 * only the operator's JWT and the accounts' can judge every user. No server ever holds a user's key, there is no
 * anonymous user, and a user's permissions travel inside its JWT.
 */

import { readFile } from "node:fs/promises";
import {
  type Account,
  createAccount,
  createOperator,
  decode,
  type Export,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  fromSeed,
  type KeyPair,
  parseCreds,
} from "@nats-io/jwt";
import { z } from "zod";
import type { OperatorRole } from "../events/domain-events.ts";
import { createUserKey, publicKeyOf } from "./keys.ts";
import {
  ACCOUNT_BORDER,
  controlPermissions,
  operatorPermissions,
  type SubjectPermissions,
  servicePermissions,
} from "./permissions.ts";
import { writePrivateFile } from "./private-file.ts";

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

/** What a process needs to connect: who it is, what it was granted, and the key that proves it. */
export interface Credentials {
  /** Name in the JWT; for people and logs. */
  readonly name: string;
  /** nkey of the user (`U…`). */
  readonly publicKey: string;
  readonly jwt: string;
  readonly seed: string;
}

/** -1 is "no limit" in account claims; an absent field would mean zero. */
const UNLIMITED = -1;

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

const JETSTREAM_LIMITS = {
  mem_storage: UNLIMITED,
  disk_storage: UNLIMITED,
  streams: UNLIMITED,
  consumer: UNLIMITED,
};

/** A new operator with its accounts. Only control's has JetStream; the clients' sees what crosses the border. */
export async function createTrust(): Promise<NatsTrust> {
  const operator = createOperator();
  const [system, control, clients] = [createAccount(), createAccount(), createAccount()];
  const account = async (name: string, pair: KeyPair, claims: Partial<Account>): Promise<z.infer<typeof issuer>> => ({
    jwt: await encodeAccount(name, pair, claims, { signer: operator }),
    seed: seedOf(pair),
  });
  return {
    operator: {
      jwt: await encodeOperator("heddle", operator, { system_account: system.getPublicKey() }),
      seed: seedOf(operator),
    },
    system: await account("SYS", system, { limits: CORE_LIMITS }),
    control: await account("HEDDLE", control, {
      limits: { ...CORE_LIMITS, ...JETSTREAM_LIMITS },
      exports: border(),
    }),
    clients: await account("HEDDLE_CLIENTS", clients, {
      limits: CORE_LIMITS,
      imports: border().map((crossing) => ({ ...crossing, account: control.getPublicKey() })),
    }),
  };
}

/** The subjects that one account exports and the other imports: a request one way, a feed the other. */
function border(): Export[] {
  return [
    ...ACCOUNT_BORDER.requests.map((subject): Export => ({ name: subject, subject, type: "service" })),
    ...ACCOUNT_BORDER.feeds.map((subject): Export => ({ name: subject, subject, type: "stream" })),
  ];
}

function seedOf(pair: KeyPair): string {
  return new TextDecoder().decode(pair.getSeed());
}

export interface OperatorUser {
  readonly name: string;
  readonly role: OperatorRole;
  /** Namespaces that an editor may change; for the other roles they mean nothing. */
  readonly namespaces: readonly string[];
}

/** Credentials of a person or a pipeline. Their nkey is the actor of every command they send. */
export function mintOperatorUser(trust: NatsTrust, user: OperatorUser): Promise<Credentials> {
  return mintUser(trust.clients, user.name, (publicKey) => operatorPermissions(publicKey, user.role, user.namespaces));
}

/** How long credentials live: `ttlMs` from `now` (milliseconds since the epoch). The server ends what has expired. */
export interface Lifetime {
  readonly ttlMs: number;
  readonly now: number;
}

/** Credentials of one service's sidecars: good for that service's subjects and no others. */
export function mintServiceUser(
  trust: NatsTrust,
  namespace: string,
  service: string,
  lifetime?: Lifetime,
): Promise<Credentials> {
  return mintUser(
    trust.clients,
    `${namespace}/${service}`,
    (key) => servicePermissions(key, namespace, service),
    lifetime,
  );
}

/** Credentials of a control replica. */
export function mintControlUser(trust: NatsTrust): Promise<Credentials> {
  return mintUser(trust.control, "control", controlPermissions);
}

async function mintUser(
  account: NatsTrust["control"],
  name: string,
  permissionsOf: (publicKey: string) => SubjectPermissions,
  lifetime?: Lifetime,
): Promise<Credentials> {
  const key = createUserKey();
  const { publish, subscribe } = permissionsOf(key.publicKey);
  const jwt = await encodeUser(
    name,
    key.publicKey,
    fromSeed(new TextEncoder().encode(account.seed)),
    {
      pub: { allow: [...publish], deny: [] },
      sub: { allow: [...subscribe], deny: [] },
      subs: UNLIMITED,
      data: UNLIMITED,
      payload: UNLIMITED,
      bearer_token: false,
    },
    lifetime === undefined ? {} : { exp: Math.floor((lifetime.now + lifetime.ttlMs) / 1000) },
  );
  return { name, publicKey: key.publicKey, jwt, seed: key.seed };
}

/** The text of a `.creds` file, as every NATS client reads it. */
export function formatCredentials(credentials: Credentials): string {
  return new TextDecoder().decode(fmtCreds(credentials.jwt, fromSeed(new TextEncoder().encode(credentials.seed))));
}

const userClaims = z.object({ name: z.string(), sub: z.string(), nats: z.object({ type: z.literal("user") }) });

/**
 * Reads the text of a `.creds` file. Throws an error that names `source` (a path, as a rule) when the text is not
 * credentials, or when the key in it is not the one that the JWT is for.
 */
export async function parseCredentials(text: string, source: string): Promise<Credentials> {
  try {
    const { jwt, key: seed } = await parseCreds(new TextEncoder().encode(text));
    const claims = userClaims.parse(decode(jwt));
    const publicKey = publicKeyOf(seed);
    if (publicKey !== claims.sub) throw new Error(`the JWT is for ${claims.sub}, but the seed is of ${publicKey}`);
    return { name: claims.name, publicKey, jwt, seed };
  } catch (cause) {
    const detail = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new Error(`${source}: not a NATS credentials file: ${detail}`, { cause });
  }
}

/** Reads a `.creds` file; errors name the file. */
export async function readCredentials(path: string): Promise<Credentials> {
  return parseCredentials(await readFile(path, "utf8"), path);
}

/** Writes a `.creds` file, mode 0600, atomically. */
export function writeCredentials(path: string, credentials: Credentials): Promise<void> {
  return writePrivateFile(path, formatCredentials(credentials));
}

/**
 * The public key of the account that issued a user: the same for every user of one mesh, and never that of another.
 * State kept from one connection to the next is bound to it.
 */
export function issuerOf(credentials: Credentials): string {
  return decode(credentials.jwt).iss;
}
