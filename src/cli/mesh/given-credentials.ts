/** Credentials that somebody names on the command line. */

import { stat } from "node:fs/promises";
import { type Credentials, readCredentials } from "../../nats/credentials.ts";
import { note, painter } from "../output/output.ts";

/**
 * Reads them, and warns where others can do so too: whoever has the file is whom it names. Not refused, since secrets that are
 * mounted into containers have modes of their own. Rejects as `readCredentials` does.
 */
export async function givenCredentials(path: string): Promise<Credentials> {
  const credentials = await readCredentials(path);
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) {
    note(
      `${painter(process.stderr)("yellow", "warning:")} ${path} is open to others, and is all that it takes: chmod 600 ${path}`,
    );
  }
  return credentials;
}
