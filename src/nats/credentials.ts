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
import { controlPermissions, operatorPermissions, type SubjectPermissions, servicePermissions } from "./permissions.ts";
import { writePrivateFile } from "./private-file.ts";

const issuer = z.strictObject({ jwt: z.string(), seed: z.string() });

/** The keys that a mesh's NATS trusts. Whoever holds the account's seed can mint any user. */
export const natsTrust = z.strictObject({ operator: issuer, system: issuer, account: issuer });

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

const MESH_ACCOUNT: Partial<Account> = {
  limits: { ...CORE_LIMITS, mem_storage: UNLIMITED, disk_storage: UNLIMITED, streams: UNLIMITED, consumer: UNLIMITED },
};

/** A new operator with its two accounts: the server's own (system) and the mesh's, the only one with JetStream. */
export async function createTrust(): Promise<NatsTrust> {
  const [operator, system, account] = [createOperator(), createAccount(), createAccount()];
  const signed = { signer: operator };
  return {
    operator: {
      jwt: await encodeOperator("heddle", operator, { system_account: system.getPublicKey() }),
      seed: seedOf(operator),
    },
    system: { jwt: await encodeAccount("SYS", system, { limits: CORE_LIMITS }, signed), seed: seedOf(system) },
    account: { jwt: await encodeAccount("HEDDLE", account, MESH_ACCOUNT, signed), seed: seedOf(account) },
  };
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
  return mintUser(trust, user.name, (publicKey) => operatorPermissions(publicKey, user.role, user.namespaces));
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
  return mintUser(trust, `${namespace}/${service}`, (key) => servicePermissions(key, namespace, service), lifetime);
}

/** Credentials of a control replica. */
export function mintControlUser(trust: NatsTrust): Promise<Credentials> {
  return mintUser(trust, "control", controlPermissions);
}

async function mintUser(
  trust: NatsTrust,
  name: string,
  permissionsOf: (publicKey: string) => SubjectPermissions,
  lifetime?: Lifetime,
): Promise<Credentials> {
  const key = createUserKey();
  const { publish, subscribe } = permissionsOf(key.publicKey);
  const jwt = await encodeUser(
    name,
    key.publicKey,
    fromSeed(new TextEncoder().encode(trust.account.seed)),
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
