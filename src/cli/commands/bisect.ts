/** `heddle bisect`: which change broke something, by bringing up the mesh as it was and trying. */

import type { Command } from "commander";
import { recordedChange } from "../../events/chain.ts";
import { describeChange } from "../../events/describe.ts";
import { foldAll } from "../../events/evolve.ts";
import { readStored } from "../../events/jetstream-log.ts";
import { MESH_DEFAULTS } from "../../events/state.ts";
import { bisectStep, type Verdict } from "../../replay/bisect.ts";
import type { ExportedChange } from "../../replay/export.ts";
import { Failure, UsageError } from "../failure.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { note, type OutputFormat, outputOption, painter, print } from "../output/output.ts";
import { safeLine, safeText } from "../output/safe-text.ts";
import { withScratchMesh } from "../processes/scratch-mesh.ts";

interface BisectOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly good: Moment;
  readonly bad: Moment;
  readonly output: OutputFormat;
}

/** The exit code by which `git bisect run` means "cannot be tested". */
const EXIT_SKIP = 125;
/** Shells say with these that there is no such command, or that it cannot be run; beyond, that a signal ended it. */
const EXIT_NOT_RUN = 126;

const CHANGE_LENGTH_MAX = 100;

const HELP = `
For each step, a mesh of its own is brought up with the policy as it was at that revision (nats-server, a control replica;
nothing of yours is touched), and COMMAND is run: HEDDLE_DIR names that mesh, HEDDLE_REVISION the revision, and \`heddle\` on
the PATH is this program. Its exit code decides: 0 good, 125 cannot be told, above 125 the search is given up, all others bad.
An end that nothing bears out is tried as well: a command that always fails blames nobody.
${MOMENT_HELP}

Examples:
  heddle bisect --good 12 --bad head -- heddle can shop/web shop/payment POST /charge
  heddle bisect --good 2d --bad head -n shop -- ./smoke-test.sh
`;

interface Trial {
  readonly revision: number;
  readonly verdict: Verdict;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(command)))
    .description("Find the change that broke something, by trying.")
    .requiredOption("--good <moment>", "when all was well", momentOption)
    .requiredOption("--bad <moment>", "when it was not", momentOption)
    .argument("<command...>", "what to try, behind --")
    .passThroughOptions()
    .addHelpText("after", HELP)
    .action(async (tried: readonly string[], options: BisectOptions) => {
      await withOperator(options, (context) => bisect(context, tried, options));
    })
    .parseAsync(args, { from: "user" });
}

async function bisect(context: OperatorContext, tried: readonly string[], options: BisectOptions): Promise<void> {
  const [good, bad] = [await revisionOf(context.ledger, options.good), await revisionOf(context.ledger, options.bad)];
  if (good >= bad) throw new UsageError(`--good is revision ${good}, and has to come before --bad, which is ${bad}`);
  const changes = await changesUpTo(context, bad);
  const suspects = changes
    .map(({ recorded }) => recorded)
    .filter(({ revision, namespace }) => revision > good && (options.namespace ?? namespace) === namespace)
    .map(({ revision }) => revision);
  if (suspects.length === 0) throw new Failure(`nothing changed between revision ${good} and revision ${bad}`);
  const trials: Trial[] = [];
  const verdicts = new Map<number, Verdict>();
  const tryOne = async (revision: number): Promise<Verdict> => {
    const verdict = await attempt(context, changes.slice(0, revision), tried);
    note(`revision ${revision} is ${verdict === "skip" ? "skipped" : verdict}`);
    trials.push({ revision, verdict });
    return verdict;
  };
  for (;;) {
    const step = bisectStep(suspects, verdicts);
    if (step.kind !== "try") {
      if (step.kind === "found") await requireBothEnds({ good, bad }, trials, tryOne);
      const found = step.kind === "found" ? [step.revision] : step.revisions;
      print(options.output, { first: step.kind === "found" ? step.revision : null, suspects: found, trials }, () =>
        resultText(found, changes),
      );
      if (step.kind === "unclear") throw new Failure("the rest cannot be told apart: they were skipped");
      return;
    }
    const { revision, stepsLeft } = step;
    note(`trying revision ${revision}; about ${stepsLeft} more after it`);
    verdicts.set(revision, await tryOne(revision));
  }
}

/**
 * Keeps a command that always gives the same verdict from blaming a change: an end of the range that no trial has
 * confirmed is tried as well. Rejects with `Failure` where it is not what it was said to be.
 */
async function requireBothEnds(
  ends: Readonly<Record<"good" | "bad", number>>,
  trials: readonly Trial[],
  tryOne: (revision: number) => Promise<Verdict>,
): Promise<void> {
  for (const [end, other] of [
    ["good", "bad"],
    ["bad", "good"],
  ] as const) {
    // Of before the first change there is no mesh to bring up.
    if (ends[end] === 0 || trials.some(({ verdict }) => verdict === end)) continue;
    note(`trying revision ${ends[end]}, for nothing was ${end} yet`);
    if ((await tryOne(ends[end])) !== other) continue;
    const meaning = `--${end} ${ends[end]} is ${other}, as all that was tried: no change can be told from the others`;
    throw new Failure(`${meaning}; choose another --${end}, or see what the command says`);
  }
}

/** The ledger from its beginning: a mesh as of a revision is all that came before it. */
async function changesUpTo({ bus }: OperatorContext, last: number): Promise<ExportedChange[]> {
  const changes: ExportedChange[] = [];
  for await (const { revision, bytes } of readStored(bus)) {
    if (bytes === undefined) throw new Failure(`revision ${revision} is not there any more: see \`heddle verify\``);
    changes.push({ recorded: recordedChange(bytes, revision), bytes });
    if (revision === last) break;
  }
  return changes;
}

/** Rejects with `Failure` where the command cannot be run, or was interrupted. */
async function attempt(
  { credentials }: OperatorContext,
  changes: readonly ExportedChange[],
  tried: readonly string[],
): Promise<Verdict> {
  const state = foldAll(changes.map(({ recorded }) => recorded));
  const trustDomain = state.mesh?.value.trustDomain ?? MESH_DEFAULTS.trustDomain;
  const interrupted = new AbortController();
  // Ctrl-C reaches the command as well; what was brought up is taken down before we go.
  const onSignal = (): void => interrupted.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    return await withScratchMesh({ changes, trustDomain, operator: credentials.name }, async (environment) => {
      const code = await exitCode(
        tried,
        { ...environment, HEDDLE_REVISION: String(state.revision) },
        interrupted.signal,
      );
      if (interrupted.signal.aborted) throw new Failure("interrupted");
      if (code === 0) return "good";
      if (code === EXIT_SKIP) return "skip";
      if (code >= EXIT_NOT_RUN)
        throw new Failure(`${safeText(tried[0] ?? "")} ended with ${code}: the search is given up`);
      return "bad";
    });
  } catch (error) {
    // Whatever the signal ended on its way is no news.
    throw interrupted.signal.aborted ? new Failure("interrupted: the mesh of this step is gone again") : error;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

async function exitCode(
  tried: readonly string[],
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<number> {
  if (signal.aborted) return EXIT_NOT_RUN;
  try {
    const child = Bun.spawn([...tried], {
      env: { ...process.env, ...environment },
      stdin: "ignore",
      // The standard output is for the answer.
      stdout: process.stderr.fd,
      stderr: "inherit",
      signal,
    });
    await child.exited;
    return child.exitCode ?? EXIT_NOT_RUN + 2;
  } catch (cause) {
    throw new Failure(`${safeText(tried[0] ?? "")} cannot be run: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

function resultText(revisions: readonly number[], changes: readonly ExportedChange[]): string {
  const paint = painter(process.stdout);
  const lines = revisions.flatMap((wanted) => {
    const recorded = changes[wanted - 1]?.recorded;
    if (recorded === undefined) return [];
    const { actor, reason } = recorded.change.data;
    const when = formatRelative(Date.parse(recorded.change.time), Date.now());
    const why = reason === "" ? "" : ` ${JSON.stringify(safeText(reason))}`;
    return [
      `  revision ${wanted} in ${safeText(recorded.namespace)} by ${safeText(actor.name)}, ${when}${why}`,
      ...describeChange(recorded).map((sentence) => `    ${safeLine(sentence, CHANGE_LENGTH_MAX)}`),
    ];
  });
  const head =
    revisions.length === 1 ? `revision ${revisions[0]} is the first bad one` : "the first bad one is among these";
  return [paint("bold", head), ...lines].join("\n");
}
