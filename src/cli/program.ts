/** What this program is, for those who ask and those who start it again. */

import { fileURLToPath } from "node:url";
import manifest from "../../package.json";

export const VERSION = manifest.version;

/** The command that runs this program with other arguments: this very runtime on this very source. */
export function selfCommand(args: readonly string[]): string[] {
  return [process.execPath, fileURLToPath(new URL("main.ts", import.meta.url)), ...args];
}
