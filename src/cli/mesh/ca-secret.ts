/** The secret under which the authority's keys are encrypted: in a file, never on a command line that others can see. */

import { readFile, stat } from "node:fs/promises";
import { type Command, Option } from "commander";
import { KeySeal, SECRET_BYTES_MIN } from "../../ca/key-seal.ts";
import { Failure } from "../failure.ts";

/** Of a key file; what is longer is another file. */
const SECRET_BYTES_MAX = 4_096;

/** Adds `--ca-key-file`, which the environment may give as well. */
export function caKeyFileOption(command: Command): Command {
  return command.addOption(
    new Option("--ca-key-file <file>", "the secret that encrypts the authority's keys").env("HEDDLE_CA_KEY_FILE"),
  );
}

/** Undefined where no file is named. Rejects with `Failure`, and never says what the file holds. */
export async function readSeal(path: string | undefined): Promise<KeySeal | undefined> {
  if (path === undefined || path === "") return undefined;
  const found = await stat(path).catch((cause: unknown) => {
    throw new Failure(`${path}: the secret cannot be read`, { cause });
  });
  if ((found.mode & 0o077) !== 0) throw new Failure(`${path} is open to others: chmod 600 ${path}`);
  if (found.size > SECRET_BYTES_MAX)
    throw new Failure(`${path} is larger than ${SECRET_BYTES_MAX} bytes: is it a secret?`);
  const bytes = await readFile(path);
  // An editor leaves a line end behind that nobody meant.
  const secret = bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
  if (secret.length < SECRET_BYTES_MIN) {
    throw new Failure(`${path} must hold at least ${SECRET_BYTES_MIN} bytes, such as of openssl rand -base64 32`);
  }
  return new KeySeal(secret);
}
