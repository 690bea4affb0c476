/** `heddle allow` and `heddle deny`: one access rule more, at once. */

import { type Command, InvalidArgumentError } from "commander";
import { DNS_LABEL } from "../policy/names.ts";
import { type AccessRule, accessRule, type Callers } from "../policy/schema.ts";
import { type ChangeOptions, changeOptions } from "./change-options.ts";
import { reportDone } from "./change-report.ts";
import { withOperator } from "./context.ts";
import { UsageError } from "./failure.ts";
import { sendDirectly } from "./proposal.ts";
import { parseCallers, parseServiceArgument } from "./service-argument.ts";

interface AccessOptions extends ChangeOptions {
  readonly methods?: readonly string[];
  readonly paths?: readonly string[];
  readonly policy?: string;
}

type Action = "allow" | "deny";

const DESCRIPTIONS: Readonly<Record<Action, string>> = {
  allow: "Let a service call another. Acts at once.",
  deny: "Forbid calls to a service, whatever allows them. Acts at once.",
};

const help = (action: Action): string => `
FROM is a service, a namespace (shop/*) or every caller (*); several with commas between. With -n, names may leave the
namespace out. The rule goes into a policy of its own, <service>-access, unless --policy names another one: rules
given by hand stay out of the policies kept in files, whose next apply would take them back.

Example:
  heddle ${action} shop/orders shop/payment --methods POST --paths /charge --reason "checkout"
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  const action: Action = command.name().endsWith("deny") ? "deny" : "allow";
  await changeOptions(command)
    .description(DESCRIPTIONS[action])
    .argument("<from>", "who calls")
    .argument("<to>", "the service that is called")
    .option("--methods <methods>", "only these methods, with commas between", parseMethods)
    .option("--paths <paths>", "only these paths; /admin/* is everything below", parsePaths)
    .option("--policy <name>", "the AccessPolicy that the rule goes into", parsePolicyName)
    .addHelpText("after", help(action))
    .action(async (from: string, to: string, options: AccessOptions) => {
      const service = parseServiceArgument(to, options.namespace);
      const rule = accessRuleOf(action, from, options);
      const policy = options.policy ?? ownPolicy(service.name);
      const body = { kind: "access", service, policy, rule } as const;
      await withOperator(options, async (context) => {
        const command = { namespace: service.namespace, body };
        const done = await sendDirectly(context, command, { ...options, dryRun: options.dryRun === true });
        await reportDone(context, { proposals: [done] }, options);
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

/** Throws `UsageError` for callers, methods or paths that no rule may hold. */
function accessRuleOf(action: Action, from: string, { namespace, methods, paths }: AccessOptions): AccessRule {
  const callers: Callers = {
    from: parseCallers(from, namespace),
    ...(methods === undefined ? {} : { methods: [...methods] }),
    ...(paths === undefined ? {} : { paths: [...paths] }),
  };
  const parsed = accessRule.safeParse(action === "allow" ? { allow: callers } : { deny: callers });
  if (parsed.success) return parsed.data;
  throw new UsageError(ruleProblem(callers));
}

/** Which value it is: the schema, being a union, only says what a rule looks like. */
function ruleProblem(callers: Callers): string {
  const [issue] = accessRule.options[0].shape.allow.safeParse(callers).error?.issues ?? [];
  if (issue === undefined) return "these callers, methods or paths make no rule";
  const [field, index] = issue.path;
  const values: readonly string[] =
    field === "from" || field === "methods" || field === "paths" ? (callers[field] ?? []) : [];
  const value = typeof index === "number" ? values[index] : undefined;
  return `${field === "from" ? "FROM" : `--${String(field)}`}: ${value === undefined ? "" : `${JSON.stringify(value)} `}${issue.message}`;
}

function parseMethods(text: string): string[] {
  return text.toUpperCase().split(",");
}

/** A comma stands between paths only where another path follows it: paths may hold commas. */
function parsePaths(text: string): string[] {
  return text.split(/,(?=\/)/);
}

function parsePolicyName(text: string): string {
  if (DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError("A policy's name is a DNS label such as storefront.");
}
