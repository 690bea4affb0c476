/** `heddle check`: is the mesh well, and set up as it should be? */

import type { Command } from "commander";
import { documentsOf } from "../../events/documents.ts";
import type { MeshState } from "../../events/state.ts";
import { letsAnybodyIn } from "../../nats/connection.ts";
import { servedCertificateEnd } from "../../nats/served-certificate.ts";
import { urlsOf } from "../../nats/server-address.ts";
import { subjects } from "../../nats/subjects.ts";
import { EXIT_FAILED, Failure } from "../failure.ts";
import { askCheck, askStatus } from "../mesh/command-client.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { trafficSince } from "../mesh/traffic-input.ts";
import type { Finding, Verdict } from "../output/finding.ts";
import type { HealthFacts } from "../output/health-facts.ts";
import { healthReport, STRANGERS_WINDOW_MS } from "../output/health-report.ts";
import { type OutputFormat, outputOption, type Paint, painter, print, type Style } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { weakMtls } from "../output/weak-mtls.ts";
import { VERSION } from "../program.ts";

interface CheckOptions extends ConnectionOptions {
  readonly output: OutputFormat;
}

const HELP = `
Exit status: 0 when nothing fails (warnings do not count), 1 otherwise.

Example:
  heddle check -o json | jq '.[] | select(.verdict == "fail")'
`;

const MARKS: Readonly<Record<Verdict, readonly [mark: string, style: Style]>> = {
  ok: ["ok", "green"],
  warn: ["warn", "yellow"],
  fail: ["FAIL", "red"],
  skip: ["skip", "dim"],
};

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(command))
    .description("Check that the mesh is well, and set up as it should be.")
    .addHelpText("after", HELP)
    .action(async (options: CheckOptions) => {
      const findings = await check(options);
      print(options.output, findings, () => reportText(findings, painter(process.stdout)));
      if (findings.some(({ verdict }) => verdict === "fail")) process.exitCode = EXIT_FAILED;
    })
    .parseAsync(args, { from: "user" });
}

/** Turns a mesh that cannot be reached into a finding; mistakes in the command line still throw. */
async function check(options: CheckOptions): Promise<Finding[]> {
  let connected = false;
  try {
    return await withOperator(options, async (context) => {
      connected = true;
      return healthReport(await observe(context));
    });
  } catch (error) {
    if (connected || !(error instanceof Failure) || error.exitCode !== EXIT_FAILED) throw error;
    return [{ group: "NATS", check: "the server can be reached", verdict: "fail", detail: error.message }];
  }
}

async function observe(context: OperatorContext): Promise<HealthFacts> {
  const { bus, credentials, server, ledger } = context;
  const ledgerRevision = await ledger.lastRevision();
  const state = await currentState(context);
  return {
    version: VERSION,
    nats: {
      urls: urlsOf(server.url),
      facts: await bus.probe(),
      certificateEndMs: await servedCertificateEnd(server),
      letsAnybodyIn: await letsAnybodyIn(server),
      hearsCommands: await bus.mayHear(subjects.allCommands),
    },
    operator: credentials,
    ledgerRevision,
    lastChangeMs: await lastChangeMs(context, ledgerRevision),
    state,
    strangers: await strangers(context, state),
    control: await observeControl(context),
    nowMs: Date.now(),
  };
}

async function observeControl(context: OperatorContext): Promise<HealthFacts["control"]> {
  try {
    const status = await askStatus(context);
    const askedMs = Date.now();
    const check = await askCheck(context);
    return { status, check, askedMs, answeredMs: Date.now() };
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

/** Read only where mutual TLS is not strict: elsewhere every caller has an identity. */
async function strangers(context: OperatorContext, state: MeshState): Promise<HealthFacts["strangers"]> {
  if (weakMtls(documentsOf(state).map(({ document }) => document)).length === 0) return undefined;
  const toMs = Date.now();
  const counts = new Map<string, number>();
  try {
    const traffic = await trafficSince(context, { fromMs: toMs - STRANGERS_WINDOW_MS, toMs });
    for (const { source, destination, count } of traffic.calls()) {
      if (source === null && destination !== null) counts.set(destination, (counts.get(destination) ?? 0) + count);
    }
    return counts;
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}

async function lastChangeMs({ ledger }: OperatorContext, revision: number): Promise<number | undefined> {
  if (revision === 0) return undefined;
  for await (const { change } of ledger.read({ from: revision, to: revision })) return Date.parse(change.time);
  return undefined;
}

function reportText(findings: readonly Finding[], paint: Paint): string {
  const width = Math.max(...findings.map(({ check: what }) => what.length));
  const lines = [...Map.groupBy(findings, ({ group }) => group)].flatMap(([group, own]) => [
    paint("bold", group),
    ...own.flatMap(({ check: what, verdict, detail, hint }) => {
      const [mark, style] = MARKS[verdict];
      const line =
        `  ${paint(style, mark.padEnd(4))}  ${what.padEnd(width)}  ${paint("dim", safeText(detail))}`.trimEnd();
      return hint === undefined ? [line] : [line, `${" ".repeat(8)}${paint(style, `→ ${hint}`)}`];
    }),
    "",
  ]);
  return [...lines, summary(findings, paint)].join("\n");
}

function summary(findings: readonly Finding[], paint: Paint): string {
  const count = (wanted: Verdict): number => findings.filter(({ verdict }) => verdict === wanted).length;
  const [failed, warned] = [count("fail"), count("warn")];
  const warnings = warned === 0 ? "" : `, ${warned} warning${warned === 1 ? "" : "s"}`;
  if (failed > 0) return paint("red", `${failed} of ${findings.length} checks failed${warnings}`);
  return paint(warned > 0 ? "yellow" : "green", warned > 0 ? `nothing fails${warnings}` : "all is well");
}
