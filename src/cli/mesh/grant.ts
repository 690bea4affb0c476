/** Credentials for a key that the ledger has just been told of: what `operator add` and `token create` end with. */

import { access, constants, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { MESH_DEFAULTS } from "../../events/state.ts";
import { type Credentials, formatCredentials, writeCredentials } from "../../nats/credentials.ts";
import type { UserKey } from "../../nats/keys.ts";
import { Failure } from "../failure.ts";
import { note, printText } from "../output/output.ts";
import { askCredentials } from "./command-client.ts";
import type { OperatorContext } from "./context.ts";
import { currentState } from "./known-mesh.ts";

/** Asks for the JWT of a new key. `undo` completes "… with". Rejects with `Failure` where there is none to be had. */
export async function fetchCredentials(
  context: OperatorContext,
  { name, key, undo }: { readonly name: string; readonly key: UserKey; readonly undo: string },
): Promise<Credentials> {
  const failed = (why: string): Failure => new Failure(`${why}; take it back with \`${undo}\``);
  const reply = await askCredentials(context, key.publicKey).catch((error: unknown) => {
    throw failed(`it is recorded, but there are no credentials: ${error instanceof Error ? error.message : error}`);
  });
  if (reply.kind === "keyless") {
    throw failed(
      "it is recorded, but no control replica has the keys of the NATS accounts (heddle control --nats-keys)",
    );
  }
  if (reply.kind !== "valid") throw failed("it is recorded, and revoked or gone already");
  return { name, ...key, jwt: reply.jwt, mesh: await meshOf(context) };
}

/** Where whoever gets the credentials finds the mesh. */
async function meshOf(context: OperatorContext): Promise<NonNullable<Credentials["mesh"]>> {
  const { mesh } = await currentState(context);
  const { url, tls } = context.publicServer;
  return {
    url: typeof url === "string" ? url : url.join(","),
    trustDomain: mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  };
}

/**
 * Rejects with `Failure` where credentials could not be handed over afterwards: a key that the ledger knows and nobody
 * has would be left.
 */
export async function requireOut(out: string | undefined): Promise<void> {
  if (out === undefined) return;
  const folder = dirname(resolve(out));
  await access(folder, constants.W_OK).catch(() => {
    throw new Failure(`--out: ${folder} does not exist or cannot be written to; nothing was changed`);
  });
  const isFolder = await stat(out).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (isFolder) throw new Failure(`--out: ${out} is a folder: name a file; nothing was changed`);
}

/** Hands credentials over: into a file that only its owner reads, or on the standard output. */
export async function handOver(credentials: Credentials, out: string | undefined): Promise<void> {
  if (out === undefined) return printText(formatCredentials(credentials));
  await writeCredentials(out, credentials);
  note(`wrote ${out}: whoever has this file is ${credentials.name}`);
}

/** Says whether a revocation has reached the servers, which is more than that it stands in the ledger. */
export async function reportRevoked(context: OperatorContext, publicKey: string, who: string): Promise<void> {
  const reply = await askCredentials(context, publicKey);
  if (reply.kind === "revoked" && reply.enforced) return note(`${who} is shut out: NATS has closed what was open`);
  const why = reply.kind === "revoked" ? reply.why : undefined;
  throw new Failure(
    `${who} is revoked in the ledger, but may still connect to NATS: ${why ?? "control does not know"}`,
  );
}
