/**
 * Keeps the mesh's accounts on its NATS servers up to date: which subjects may cross from one account to the other, and
 * which keys are revoked. Done by every replica that holds the accounts' keys; the servers' full resolver takes an
 * update while they run, and ends the connections of revoked users at once.
 */

import { isDeepStrictEqual } from "node:util";
import { type Account, decode } from "@nats-io/jwt";
import { z } from "zod";
import { NoResponders, RequestTimeout } from "./bus.ts";
import { connectBus } from "./connection.ts";
import { mintAccountsUser, type OperatorUser, operatorJwt, type ServiceUser, serviceJwt } from "./credentials.ts";
import { publicKeyOf } from "./keys.ts";
import type { NatsBus } from "./nats-bus.ts";
import type { ServerAddress } from "./server-address.ts";
import { subjects } from "./subjects.ts";
import { accountJwt, type MeshAccount, type NatsTrust, type VoidKeys } from "./trust.ts";

const REQUEST_TIMEOUT_MS = 2_000;

/** What a control replica does with the accounts' keys. */
export interface Accounts {
  operatorJwt(user: OperatorUser, publicKey: string): Promise<string>;
  serviceJwt(user: ServiceUser, publicKey: string): Promise<string>;
  /** Resolves when the servers take the accounts for what they should be. Rejects in words when they do not. */
  enforce(revoked: VoidKeys): Promise<void>;
  close(): Promise<void>;
}

export interface AccountsOptions {
  readonly server: ServerAddress;
  readonly trust: NatsTrust;
  readonly onError: (error: Error) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Opens nothing yet: the connection to the servers' own account is made when it is needed first. */
export function openAccounts({ server, trust, onError, now }: AccountsOptions): Accounts {
  let connection: Promise<NatsBus> | undefined;
  const connected = (): Promise<NatsBus> => {
    connection ??= mintAccountsUser(trust)
      .then((credentials) => connectBus({ ...server, credentials, name: "heddle accounts", onError }))
      .catch((error: unknown) => {
        connection = undefined;
        throw error;
      });
    return connection;
  };
  return {
    operatorJwt: (user, publicKey) => operatorJwt(trust, user, publicKey),
    serviceJwt: (user, publicKey) => serviceJwt(trust, user, publicKey),
    enforce: async (revoked) => {
      const bus = await connected();
      await keep(bus, trust, { account: "control", revoked: new Map(), nowMs: now() });
      await keep(bus, trust, { account: "clients", revoked, nowMs: now() });
    },
    close: async () => {
      await (await connection?.catch(() => undefined))?.close();
    },
  };
}

interface WantedAccount {
  readonly account: MeshAccount;
  readonly revoked: VoidKeys;
  readonly nowMs: number;
}

/** Tells the servers of an account unless what they have is as it should be, and looks whether they took it. */
async function keep(bus: NatsBus, trust: NatsTrust, { account, revoked, nowMs }: WantedAccount): Promise<void> {
  const publicKey = publicKeyOf(trust[account].seed);
  const stored = await lookUp(bus, publicKey);
  // What another replica revoked that is ahead of this one stays, until no JWT of the key could be good any more.
  const all = new Map([...Object.entries(stored?.revocations ?? {}), ...revoked]);
  const jwt = await accountJwt(trust, account, new Map([...all].filter(([, untilS]) => untilS * 1000 > nowMs)));
  const wanted = claimsOf(jwt);
  if (isDeepStrictEqual(stored, wanted)) return;
  await update(bus, jwt);
  // A server keeps what was issued later: that may be another replica's, or of one whose clock is ahead.
  if (!isDeepStrictEqual(await lookUp(bus, publicKey), wanted)) {
    throw new Error(`the NATS servers keep another JWT of the account ${publicKey.slice(0, 8)}…`);
  }
}

const updateAnswer = z.union([
  z.object({ data: z.object({ code: z.literal(200) }) }),
  z.object({ error: z.object({ description: z.string() }) }),
]);

async function update(bus: NatsBus, jwt: string): Promise<void> {
  const answer = updateAnswer.parse(JSON.parse(await ask(bus, subjects.updateAccount, jwt)));
  if ("error" in answer) throw new Error(`the NATS servers refuse the account's JWT: ${answer.error.description}`);
}

/** What the servers take an account for; undefined where they do not know it. */
async function lookUp(bus: NatsBus, publicKey: string): Promise<Partial<Account> | undefined> {
  const text = await ask(bus, subjects.lookUpAccount(publicKey), "");
  return text === "" ? undefined : claimsOf(text);
}

function claimsOf(jwt: string): Partial<Account> {
  return decode<Account>(jwt).nats;
}

async function ask(bus: NatsBus, subject: string, text: string): Promise<string> {
  try {
    const answer = await bus.request(subject, new TextEncoder().encode(text), { timeoutMs: REQUEST_TIMEOUT_MS });
    return new TextDecoder().decode(answer);
  } catch (error) {
    if (!(error instanceof NoResponders || error instanceof RequestTimeout)) throw error;
    const why = "the NATS servers take no news of accounts: their resolver must be of type full";
    throw new Error(why, { cause: error });
  }
}
