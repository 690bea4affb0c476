/** What this program is, for those who ask and those who start it again. */

import { fileURLToPath } from "node:url";
import manifest from "../../package.json";

export const VERSION = manifest.version;

/** Where a compiled program's sources appear to be: inside itself. */
const COMPILED_ROOT = "/$bunfs/";

/** The command that runs this program with other arguments: this very binary, or this runtime on this very source. */
export function selfCommand(args: readonly string[]): string[] {
  if (import.meta.url.includes(COMPILED_ROOT)) return [process.execPath, ...args];
  return [process.execPath, fileURLToPath(new URL("main.ts", import.meta.url)), ...args];
}
