/** `heddle audit report`: who had access to what over a stretch of time, signed. */

import { writeFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { sha256Hex } from "../../events/chain.ts";
import { type SignatureState, signatureState } from "../../events/signature.ts";
import { sign } from "../../nats/keys.ts";
import { canonicalJson } from "../../policy/canonical.ts";
import { type AuditReport, auditReport } from "../../replay/audit-report.ts";
import { type HistoryFilter, history } from "../../replay/history.ts";
import { changeAt } from "../../replay/revision-at.ts";
import { EXIT_FAILED, Failure } from "../failure.ts";
import type { Moment } from "../input/moment.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { pastState } from "../mesh/known-mesh.ts";
import { proveLedger } from "../mesh/ledger-proof.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { REPORT_FORMATS, type ReportFormat, reportText } from "../output/audit-text.ts";
import { note, printText } from "../output/output.ts";

interface ReportOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly from: Moment;
  readonly to?: Moment;
  readonly format: ReportFormat;
  readonly out?: string;
}

const SIGNATURES: Readonly<Record<SignatureState, string>> = {
  verified: "valid",
  invalid: "NOT VALID",
  none: "none (the control plane)",
};

const HELP = `
Says who could call what at both ends, every change of that in between with its author and reason, and what it came to. The
ledger is proved on the way; where it is not what was written, the report says so and the exit code is 1. The last facts are
the head of the ledger, which \`heddle verify --head\` takes, and your signature over the report. ${MOMENT_HELP}

Examples:
  heddle audit report --from 2026-01-01 --to 2026-04-01 --out q1.md
  heddle audit report --from 90d -n shop --format csv
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Account for access to others.");
  const report = command.command("report").description("Report who had access to what, and how that changed.");
  connectionOptions(namespaceOption(report))
    .requiredOption("--from <moment>", "the beginning", momentOption)
    .option("--to <moment>", "the end (default: now)", momentOption)
    .addOption(new Option("--format <format>", "how to write it").choices(REPORT_FORMATS).default("markdown"))
    .option("--out <file>", "write it there (default: the standard output)")
    .addHelpText("after", HELP)
    .action((options: ReportOptions) => write(options));
  await command.parseAsync(args, { from: "user" });
}

async function write(options: ReportOptions): Promise<void> {
  await withOperator(options, async (context) => {
    const { report, isSound } = await signedReport(context, options);
    const text = reportText(report, options.format);
    if (options.out === undefined) printText(text);
    else {
      await writeFile(options.out, text);
      note(`wrote ${options.out}`);
    }
    if (isSound) return;
    note("the ledger is not what was written: see `heddle verify`");
    process.exitCode = EXIT_FAILED;
  });
}

async function signedReport(
  context: OperatorContext,
  { from: start, to: end, namespace }: ReportOptions,
): Promise<{ report: AuditReport; isSound: boolean }> {
  const { ledger, credentials } = context;
  const [from, to] = [await revisionOf(ledger, start), await revisionOf(ledger, end)];
  if (from > to) throw new Failure(`--from is revision ${from}, and comes after --to, which is revision ${to}`);
  const { problems, mark } = await proveLedger(context, () => []);
  const filter: HistoryFilter = { accessOnly: true, ...(namespace === undefined ? {} : { namespace }) };
  const report = auditReport({
    from: { state: await pastState(context, from), time: (await changeAt(ledger, from))?.change.time },
    to: { state: await pastState(context, to), time: (await changeAt(ledger, to))?.change.time },
    entries: from === to ? [] : await Array.fromAsync(history(ledger.read({ from: from + 1, to }), filter)),
    signatureOf: ({ recorded }) => SIGNATURES[signatureState(recorded)],
    mark,
    problems: problems.map(({ kind, revision, message }) => `${kind} at revision ${revision}: ${message}`),
    namespace,
  });
  const { name, publicKey, seed } = credentials;
  const made = { ...report, facts: [...report.facts, ["made", `${new Date().toISOString()} by ${name}`] as const] };
  const digest = sha256Hex(canonicalJson(made));
  const signature = Buffer.from(sign(seed, new TextEncoder().encode(digest))).toString("base64url");
  const facts = [
    ...made.facts,
    ["digest", digest],
    ["signed by", `${name} ${publicKey}`],
    ["signature", signature],
  ] as const;
  return { report: { ...made, facts }, isSound: problems.length === 0 };
}
