/** `heddle who-can`: which services may call one, what they may ask of it, and by which rules. */

import type { Command } from "commander";
import { serviceRef } from "../../policy/names.ts";
import { CallJudge } from "../../replay/call.ts";
import { type CallerAccess, callersWithAccess } from "../../replay/who-can.ts";
import { UsageError } from "../failure.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { type CallFactOptions, callFactOptions, requestOf } from "../mesh/call-options.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { pastState, requireService } from "../mesh/known-mesh.ts";
import { atOption, MOMENT_HELP, revisionOf } from "../mesh/moment-argument.ts";
import { note, type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface WhoCanOptions extends CallFactOptions, ConnectionOptions {
  readonly namespace?: string;
  readonly at?: Moment;
  readonly output: OutputFormat;
}

const HELP = `
Of the services that are declared, of \`none\` (whoever proves no identity) and of other trust domains, those of which some
call is allowed; with METHOD and PATH, those of which that call is, if it brings along what the options say.
${MOMENT_HELP}

Examples:
  heddle who-can shop/payment
  heddle who-can shop/payment POST /charge --at 2d
  heddle who-can shop/payment POST /charge --claim groups=admin
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await callFactOptions(connectionOptions(outputOption(namespaceOption(atOption(command)))))
    .description("Show which services may call one, and by which rules.")
    .argument("<service>", "the service that is called: NAMESPACE/NAME, or NAME with -n")
    .argument("[method]", "such as POST")
    .argument("[path]", "such as /charge")
    .addHelpText("after", HELP)
    .action(async (text: string, method: string | undefined, path: string | undefined, options: WhoCanOptions) => {
      const service = parseServiceArgument(text, options.namespace);
      const request = requestOf(method, path, options);
      const isPlain = Object.values(request.facts ?? {}).every((fact) => fact === undefined);
      if (method === undefined && (!isPlain || request.headers.length > 0)) {
        throw new UsageError(
          "what a call brings along is asked with its METHOD and PATH: without, every way in is shown",
        );
      }
      const only = method === undefined ? undefined : request;
      await withOperator(options, async (context) => {
        const state = await pastState(context, await revisionOf(context.ledger, options.at));
        const ref = serviceRef(service.namespace, service.name);
        requireService(state, service);
        const callers = callersWithAccess(new CallJudge(state), service, only);
        if (callers.length === 0 && options.output === "table")
          note(`nobody may ${only === undefined ? "call" : `${only.method} ${only.path} on`} ${ref}`);
        else print(options.output, { service: ref, revision: state.revision, callers }, () => callerTable(callers));
      });
    })
    .parseAsync(args, { from: "user" });
}

function callerTable(callers: readonly CallerAccess[]): string {
  const rows = callers.map(({ caller, words, origins }) => [
    safeText(caller),
    safeText(words.join("; ")),
    origins.length === 0
      ? "the default of the mesh"
      : origins
          .map(({ document, rule, revision, actor }) => safeText(`${document}[${rule}]@${revision} by ${actor}`))
          .join(", "),
  ]);
  return table(["caller", "may call", "by"], rows);
}
