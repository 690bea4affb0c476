/** `heddle shift`: move traffic between the subsets of a service, or to other services, at once. */

import { type Command, InvalidArgumentError } from "commander";
import { DNS_LABEL } from "../../policy/names.ts";
import { UsageError } from "../failure.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { type ChangeOptions, changeOptions } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { withOperator } from "../mesh/context.ts";

interface ShiftOptions extends ChangeOptions {
  /** Index of a rule of the service's route. */
  readonly rule?: number;
}

const SHARE = /^([^=]*)=(\d{1,3}(?:\.\d{1,4})?)%?$/;

const HELP = `
Subsets that are not named share what is left, in proportion. Without --rule, the last rule without a match is meant,
through which goes whatever nothing else catches.

Examples:
  heddle shift shop/catalog v2=50% --reason "half the canary"
  heddle shift shop/catalog service:catalog-next=10%
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await changeOptions(command)
    .description("Move traffic between the subsets of a service, or to other services. Acts at once.")
    .argument("<service>", "NAMESPACE/NAME, or NAME with -n")
    .argument("<shares...>", "SUBSET=PERCENT, or service:NAME=PERCENT")
    .option("--rule <index>", "the route's rule, counted from 0", parseIndex)
    .addHelpText("after", HELP)
    .action(async (name: string, shares: readonly string[], options: ShiftOptions) => {
      const service = parseServiceArgument(name, options.namespace);
      const rule = options.rule === undefined ? {} : { rule: options.rule };
      const body = { kind: "shift", service, ...rule, percent: parseShares(shares) } as const;
      await withOperator(options, async (context) => {
        const command = { namespace: service.namespace, body };
        await changeAtOnce(context, command, options);
      });
    })
    .parseAsync(args, { from: "user" });
}

/** As commands name a backend; undefined where it is neither a subset nor a service. */
function shareKey(text: string): string | undefined {
  const { service } = /^service:(?<service>.+)$/.exec(text)?.groups ?? {};
  if (service === undefined) return DNS_LABEL.test(text) ? text : undefined;
  const names = service.split("/");
  return names.length <= 2 && names.every((name) => DNS_LABEL.test(name)) ? `service ${service}` : undefined;
}

/** Reads `v1=50% v2=50 service:next=10`. Throws `UsageError`. */
export function parseShares(shares: readonly string[]): Record<string, number> {
  const percent = new Map<string, number>();
  for (const share of shares) {
    const [, subset, text] = SHARE.exec(share) ?? [];
    const key = subset === undefined ? undefined : shareKey(subset);
    if (key === undefined || Number(text) > 100) {
      const forms = "write SUBSET=PERCENT, such as v2=50%, or service:catalog-next=50%";
      throw new UsageError(`${JSON.stringify(share)} is no share; ${forms}`);
    }
    if (percent.has(key)) throw new UsageError(`${subset} is given twice`);
    percent.set(key, Number(text));
  }
  return Object.fromEntries(percent);
}

function parseIndex(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Rules are counted from 0.");
}
