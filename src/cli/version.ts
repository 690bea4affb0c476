/** `heddle version` */

import type { Command } from "commander";
import { VERSION } from "./program.ts";

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await command
    .description("Show the version of Heddle and of the runtime beneath it.")
    .action(() => {
      process.stdout.write(`heddle ${VERSION} (bun ${Bun.version})\n`);
    })
    .parseAsync(args, { from: "user" });
}
