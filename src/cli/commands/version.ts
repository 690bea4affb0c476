/** `heddle version` */

import type { Command } from "commander";
import { type OutputFormat, outputOption, print } from "../output/output.ts";
import { VERSION } from "../program.ts";

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await outputOption(command)
    .description("Show the version of Heddle and of the runtime beneath it.")
    .action(({ output }: { readonly output: OutputFormat }) => {
      print(output, { heddle: VERSION, bun: Bun.version }, () => `heddle ${VERSION} (bun ${Bun.version})`);
    })
    .parseAsync(args, { from: "user" });
}
