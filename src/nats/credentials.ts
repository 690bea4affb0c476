/**
 * Users of the mesh's NATS: keys, and what an account says of them. A user's permissions and limits travel inside its
 * JWT, and no server ever holds a user's key.
 */

import { decode, encodeUser, fmtCreds, fromSeed, parseCreds } from "@nats-io/jwt";
import { z } from "zod";
import type { OperatorRole } from "../events/domain-events.ts";
import { TRUST_DOMAIN } from "../policy/names.ts";
import { createUserKey, publicKeyOf } from "./keys.ts";
import {
  accountsPermissions,
  controlPermissions,
  operatorPermissions,
  type SubjectPermissions,
  servicePermissions,
  watchPermissions,
} from "./permissions.ts";
import { readIfPresent, writePrivateFile } from "./private-file.ts";
import type { NatsTrust } from "./trust.ts";
import { OPERATOR_LIMITS, SERVICE_LIMITS, UNBOUNDED, type UserLimits } from "./user-limits.ts";

/** What a process needs to connect: who it is, what it was granted, and the key that proves it. */
export interface Credentials {
  /** Name in the JWT; for people and logs. */
  readonly name: string;
  /** nkey of the user (`U…`). */
  readonly publicKey: string;
  readonly jwt: string;
  readonly seed: string;
  /** Which mesh they are for, where the file tells. */
  readonly mesh?: MeshAddress;
}

/** Where a mesh is, for whoever gets credentials for it. */
const meshAddress = z.strictObject({
  /** Of NATS; several with commas between. */
  url: z.string().max(4_096),
  trustDomain: z.string().regex(TRUST_DOMAIN),
  /** PEM of the authority that signed the NATS servers' certificates; absent: one that the system trusts, or no TLS. */
  ca: z
    .string()
    .max(64 * 1024)
    .optional(),
});
export type MeshAddress = z.infer<typeof meshAddress>;

export interface OperatorUser {
  readonly name: string;
  readonly role: OperatorRole;
  /** Namespaces that an editor may change; for the other roles they mean nothing. */
  readonly namespaces: readonly string[];
}

export interface ServiceUser {
  readonly namespace: string;
  readonly service: string;
  /** Milliseconds since the epoch; absent: it does not end. */
  readonly expiresMs?: number | undefined;
}

/** How long credentials live: `ttlMs` from `now` (milliseconds since the epoch). The server ends what has expired. */
export interface Lifetime {
  readonly ttlMs: number;
  readonly now: number;
}

/** Whose JWT: what a name may do, and until when. */
interface UserGrant {
  readonly name: string;
  readonly permissions: SubjectPermissions;
  readonly limits: UserLimits;
  /** Milliseconds since the epoch; absent: it does not end. */
  readonly expiresMs?: number | undefined;
}

/** The JWT of a person or a pipeline who holds the key. Their nkey is the actor of every command they send. */
export function operatorJwt(trust: NatsTrust, user: OperatorUser, publicKey: string): Promise<string> {
  const permissions = operatorPermissions(publicKey, user.role, user.namespaces);
  return userJwt(trust.clients, publicKey, { name: user.name, permissions, limits: OPERATOR_LIMITS });
}

/** The JWT of one service's sidecars: good for that service's subjects and no others. */
export function serviceJwt(
  trust: NatsTrust,
  { namespace, service, expiresMs }: ServiceUser,
  publicKey: string,
): Promise<string> {
  const permissions = servicePermissions(publicKey, namespace, service);
  const name = `${namespace}/${service}`;
  return userJwt(trust.clients, publicKey, { name, permissions, limits: SERVICE_LIMITS, expiresMs });
}

/** Credentials of an operator, with a new key. */
export function mintOperatorUser(trust: NatsTrust, user: OperatorUser): Promise<Credentials> {
  return mintUser(user.name, (publicKey) => operatorJwt(trust, user, publicKey));
}

/** Credentials of one service's sidecars, with a new key. */
export function mintServiceUser(
  trust: NatsTrust,
  namespace: string,
  service: string,
  lifetime?: Lifetime,
): Promise<Credentials> {
  const expiresMs = lifetime === undefined ? undefined : lifetime.now + lifetime.ttlMs;
  return mintUser(`${namespace}/${service}`, (publicKey) =>
    serviceJwt(trust, { namespace, service, expiresMs }, publicKey),
  );
}

/** Credentials of a control replica. */
export function mintControlUser(trust: NatsTrust): Promise<Credentials> {
  const grant = (publicKey: string): UserGrant => {
    return { name: "control", permissions: controlPermissions(publicKey), limits: UNBOUNDED };
  };
  return mintUser("control", (publicKey) => userJwt(trust.control, publicKey, grant(publicKey)));
}

/** Credentials for telling the servers what the accounts are, for as long as a replica runs. */
export function mintAccountsUser(trust: NatsTrust): Promise<Credentials> {
  const name = "control accounts";
  return mintUser(name, (publicKey) =>
    userJwt(trust.system, publicKey, { name, permissions: accountsPermissions(publicKey), limits: UNBOUNDED }),
  );
}

/** Who asks the server how it is, in the servers' own account. */
export function mintWatchUser(trust: NatsTrust): Promise<Credentials> {
  const name = "server watch";
  return mintUser(name, (publicKey) =>
    userJwt(trust.system, publicKey, { name, permissions: watchPermissions(publicKey), limits: UNBOUNDED }),
  );
}

async function mintUser(name: string, jwtOf: (publicKey: string) => Promise<string>): Promise<Credentials> {
  const { publicKey, seed } = createUserKey();
  return { name, publicKey, jwt: await jwtOf(publicKey), seed };
}

function userJwt(
  account: NatsTrust["control"],
  publicKey: string,
  { name, permissions: { publish, subscribe }, limits, expiresMs }: UserGrant,
): Promise<string> {
  return encodeUser(
    name,
    publicKey,
    fromSeed(new TextEncoder().encode(account.seed)),
    {
      pub: { allow: [...publish], deny: [] },
      sub: { allow: [...subscribe], deny: [] },
      ...limits,
      bearer_token: false,
    },
    expiresMs === undefined ? {} : { exp: Math.floor(expiresMs / 1000) },
  );
}

type CredentialParts = Pick<Credentials, "jwt" | "seed"> & { readonly mesh?: MeshAddress | undefined };

/** The text of a `.creds` file, as every NATS client reads it. What it tells of the mesh stands at the end, for us alone. */
export function formatCredentials({ jwt, seed, mesh }: CredentialParts): string {
  const text = new TextDecoder().decode(fmtCreds(jwt, fromSeed(new TextEncoder().encode(seed))));
  if (mesh === undefined) return text;
  const block = Buffer.from(JSON.stringify(mesh)).toString("base64url");
  return `${text.trimEnd()}\n\n${MESH_BEGIN}\n${block}\n${MESH_END}\n`;
}

const MESH_BEGIN = "-----BEGIN HEDDLE MESH-----";
const MESH_END = "------END HEDDLE MESH------";

function parseMeshBlock(text: string): MeshAddress | undefined {
  const start = text.indexOf(MESH_BEGIN);
  if (start < 0) return undefined;
  const end = text.indexOf(MESH_END, start);
  if (end < 0) throw new Error(`${MESH_BEGIN} has no end`);
  const block = text.slice(start + MESH_BEGIN.length, end).trim();
  return meshAddress.parse(JSON.parse(Buffer.from(block, "base64url").toString("utf8")));
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
    const mesh = parseMeshBlock(text);
    return { name: claims.name, publicKey, jwt, seed, ...(mesh === undefined ? {} : { mesh }) };
  } catch (cause) {
    const detail = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new Error(`${source}: not a NATS credentials file: ${detail}`, { cause });
  }
}

/** Reads a `.creds` file; errors name the file. */
export async function readCredentials(path: string): Promise<Credentials> {
  const text = await readIfPresent(path);
  if (text === undefined) throw new Error(`${path}: there is no such file; it should hold NATS credentials`);
  return parseCredentials(text, path);
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
