/** A call, described as on the command line of `heddle explain` and `heddle can`, and read by the code that they read it with. */

import { Command } from "commander";
import { type CallOptions, callArguments, callOf } from "../../src/cli/mesh/call-options.ts";
import type { Call } from "../../src/replay/call.ts";

export function askedCall(...words: readonly string[]): Call {
  let call: Call | undefined;
  callArguments(new Command().exitOverride().configureOutput({ writeErr: () => {} }))
    .action(
      (source: string, destination: string, method?: string, path?: string, options: CallOptions = NO_OPTIONS) => {
        call = callOf([source, destination, method, path], options);
      },
    )
    .parse(words, { from: "user" });
  if (call === undefined) throw new Error(`not a call: ${words.join(" ")}`);
  return call;
}

const NO_OPTIONS: CallOptions = { output: "json" };
