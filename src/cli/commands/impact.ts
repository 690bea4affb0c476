/** `heddle impact`: the traffic of the services that a change is about, before it and after it. */

import type { Command } from "commander";
import { ChangeImpact, type ServiceImpact } from "../../replay/impact.ts";
import { changeAt } from "../../replay/revision-at.ts";
import type { Signals } from "../../replay/signals.ts";
import { Failure } from "../failure.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { parseWindow } from "../input/window-option.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { requireRevision } from "../mesh/known-mesh.ts";
import { momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { reports } from "../mesh/traffic-input.ts";
import { milliseconds, percent } from "../output/figures.ts";
import { note, type OutputFormat, outputOption, type Paint, painter, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface ImpactOptions extends ConnectionOptions {
  /** Milliseconds. */
  readonly window: number;
  readonly output: OutputFormat;
}

const WINDOW_MS = 30 * 60_000;

const HELP = `
Sidecars report once a minute, so that what a change did shows a minute or two after it. What rose by more than chance
would have it is marked. Calls are counted where they arrive, or where they were made if they never left: time that the
callers' sidecars add, by retries or by a delay that was injected, is not in it. That it came after the change does not prove that it came of it.

Examples:
  heddle impact 41
  heddle impact 41 --window 2h
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(command))
    .description("Show rate, errors and latency before and after a change.")
    .argument("<revision>", "as `heddle log` shows it, or head~2", momentOption)
    .option("--window <duration>", "so long on either side (default: 30m)", parseWindow, WINDOW_MS)
    .addHelpText("after", HELP)
    .action((moment: Moment, options: ImpactOptions) =>
      withOperator(options, async (context) => show(context, await revisionOf(context.ledger, moment), options)),
    )
    .parseAsync(args, { from: "user" });
}

async function show(context: OperatorContext, revision: number, { window, output }: ImpactOptions): Promise<void> {
  await requireRevision(context.ledger, revision);
  const recorded = await changeAt(context.ledger, revision);
  if (recorded === undefined) throw new Failure(`there is no revision ${revision}`);
  const nowMs = Date.now();
  const change = new ChangeImpact(recorded, window);
  for await (const report of reports(context, change)) change.add(report);
  const impacts = change.impacts(nowMs);
  const { actor, reason } = recorded.change.data;
  if (output === "table") {
    const when = formatRelative(Date.parse(recorded.change.time), nowMs);
    note(safeText(`revision ${revision} by ${actor.name}, ${when}${reason === "" ? "" : `: ${reason}`}`));
    if (impacts.length === 0) note("the traffic ledger has no calls of its services around that time");
  }
  const value = { revision, time: recorded.change.time, windowMs: window, services: impacts.map(impactValue) };
  print(output, value, () => (impacts.length === 0 ? "" : impactTable(impacts, painter(process.stdout))));
}

function impactValue({ service, before, after, worse }: ServiceImpact): unknown {
  const sideValue = ({ p50Ms, p99Ms, ...rest }: Signals) => ({ ...rest, p50Ms: p50Ms ?? null, p99Ms: p99Ms ?? null });
  return { service, before: sideValue(before), after: sideValue(after), worse };
}

function impactTable(impacts: readonly ServiceImpact[], paint: Paint): string {
  const rows = impacts.map(({ service, before, after, worse }) => {
    const mark = (name: (typeof worse)[number], text: string): string =>
      worse.includes(name) ? paint("red", `${text} !`) : text;
    return [
      safeText(service),
      `${before.perSecond.toFixed(1)} → ${after.perSecond.toFixed(1)}`,
      mark("errors", `${percent(before.errors)} → ${percent(after.errors)}`),
      mark("refusals", `${percent(before.refused)} → ${percent(after.refused)}`),
      `${milliseconds(before.p50Ms)} → ${milliseconds(after.p50Ms)}`,
      mark("latency", `${milliseconds(before.p99Ms)} → ${milliseconds(after.p99Ms)}`),
    ];
  });
  return table(["service", "calls/s", "errors", "refused", "p50", "p99"], rows);
}
