/** `heddle allow` and `heddle deny`: one access rule more, at once. */

import { type Command, InvalidArgumentError } from "commander";
import { DNS_LABEL } from "../../policy/names.ts";
import type { AccessRule } from "../../policy/schema.ts";
import { UsageError } from "../failure.ts";
import { type ConditionOptions, conditionOptions, readConditions } from "../input/access-options.ts";
import { parseCallers, parseServiceArgument } from "../input/service-argument.ts";
import { type ChangeOptions, changeOptions } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { withOperator } from "../mesh/context.ts";

interface AccessOptions extends ChangeOptions, ConditionOptions {
  readonly audit?: true;
  readonly policy?: string;
}

type Action = "allow" | "deny";

const DESCRIPTIONS: Readonly<Record<Action, string>> = {
  allow: "Let a service call another. Acts at once.",
  deny: "Forbid calls to a service, whatever allows them. Acts at once.",
};

const help = (action: Action): string => `
FROM is a service, a namespace (shop/*), every caller (*), callers without an identity (none) or a SPIFFE ID of another
trust domain; several with commas between. With -n, names may leave the namespace out. All conditions hold together. The rule goes into a policy of its own, <service>-access, unless --policy names another one: rules
given by hand stay out of the policies kept in files, whose next apply would take them back.

Example:
  heddle ${action} shop/orders shop/payment --methods POST --paths /charge --reason "checkout"
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  const action: Action = command.name().endsWith("deny") ? "deny" : "allow";
  await conditionOptions(changeOptions(command))
    .description(DESCRIPTIONS[action])
    .argument("<from>", "who calls")
    .argument("<to>", "the service that is called")
    .option("--audit", "decide nothing: count and log the calls that the rule speaks of")
    .option("--policy <name>", "the AccessPolicy that the rule goes into", parsePolicyName)
    .addHelpText("after", help(action))
    .action(async (from: string, to: string, options: AccessOptions) => {
      const service = parseServiceArgument(to, options.namespace);
      const rule = accessRuleOf(action, from, options);
      const policy = options.policy ?? ownPolicy(service.name);
      const body = { kind: "access", service, policy, rule } as const;
      await withOperator(options, async (context) => {
        const command = { namespace: service.namespace, body };
        await changeAtOnce(context, command, options);
      });
    })
    .parseAsync(args, { from: "user" });
}

/** The policy that rules given at the command line go into. */
export function ownPolicy(service: string): string {
  const name = `${service}-access`;
  if (DNS_LABEL.test(name)) return name;
  throw new UsageError(`${name} is too long for a name: say --policy`);
}

/** Throws `UsageError` for conditions that no rule may hold. */
function accessRuleOf(action: Action, from: string, options: AccessOptions): AccessRule {
  const conditions = readConditions(parseCallers(from, options.namespace), options);
  if (options.audit === true) return { audit: conditions };
  return action === "allow" ? { allow: conditions } : { deny: conditions };
}

function parsePolicyName(text: string): string {
  if (DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError("A policy's name is a DNS label such as storefront.");
}
