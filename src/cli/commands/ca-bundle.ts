/** `heddle ca bundle`: the roots that the mesh trusts, for others to trust them too. */

import { type Command, Option } from "commander";
import { toJwkSet } from "../../ca/spiffe-bundle.ts";
import type { Moment } from "../input/moment.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { atOption, meshAt } from "../mesh/moment-argument.ts";
import { printText } from "../output/output.ts";

interface Options extends ConnectionOptions {
  readonly output: "pem" | "jwks";
  readonly at?: Moment;
}

export function caBundle(command: Command): void {
  connectionOptions(atOption(command))
    .description("Print the trust bundle: every root that is trusted.")
    .addOption(new Option("-o, --output <format>", "how to print").choices(["pem", "jwks"]).default("pem"))
    .addHelpText(
      "after",
      "\njwks is SPIFFE's own form, as federation wants it.\n\nExample:\n  heddle ca bundle -o jwks > mesh.json",
    )
    .action((options: Options) =>
      withOperator(options, async (context) => {
        const { roots, revision } = (await meshAt(context, options.at)).state;
        const trusted = [...roots.values()].filter(({ status }) => status !== "retired").map(({ pem }) => pem);
        // The revision grows with every change, and so with every change of the roots.
        printText(options.output === "pem" ? trusted.join("") : JSON.stringify(toJwkSet(trusted, revision), null, 2));
      }),
    );
}
