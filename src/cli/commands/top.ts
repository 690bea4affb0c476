/** `heddle top`: the golden signals of services, or of who calls whom, as sidecars last reported them. */

import { type Command, Option } from "commander";
import { edgeSignals, type NamedSignals, serviceSignals } from "../../replay/signals.ts";
import { parseWindow } from "../input/window-option.ts";
import { namespaceOption } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { trafficSince } from "../mesh/traffic-input.ts";
import { milliseconds, percent } from "../output/figures.ts";
import { type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

interface TopOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly edges?: true;
  readonly once?: true;
  /** Milliseconds. */
  readonly window: number;
  readonly output: OutputFormat;
}

/** Sidecars report once a minute, each at a moment of its own: two minutes have one report of each. */
const WINDOW_MS = 2 * 60_000;
const REFRESH_MS = 5_000;
/** Home, and clear what is below: the table is drawn over itself. */
const REDRAW = "\u001b[H\u001b[J";

const HELP = `
Sidecars report once a minute. On a terminal the table is drawn again every five seconds, until Ctrl-C.

Examples:
  heddle top
  heddle top --edges -n shop
  heddle top --once -o json
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(outputOption(namespaceOption(command)))
    .description("Show rate, errors and latency of services, busiest first.")
    .option("--edges", "for each caller by itself")
    .addOption(new Option("--window <duration>", "over so long").argParser(parseWindow).default(WINDOW_MS, "2m"))
    .option("--once", "print one table and end")
    .addHelpText("after", HELP)
    .action((options: TopOptions) => withOperator(options, (context) => show(context, options)))
    .parseAsync(args, { from: "user" });
}

async function show(context: OperatorContext, options: TopOptions): Promise<void> {
  const isLive = options.once !== true && options.output === "table" && process.stdout.isTTY === true;
  if (!isLive) return draw(context, options);
  const stop = Promise.withResolvers<void>();
  process.once("SIGINT", () => stop.resolve());
  process.once("SIGTERM", () => stop.resolve());
  let stopped = false;
  void stop.promise.then(() => {
    stopped = true;
  });
  while (!stopped) {
    process.stdout.write(REDRAW);
    await draw(context, options);
    await Promise.race([stop.promise, Bun.sleep(REFRESH_MS)]);
  }
}

async function draw(context: OperatorContext, { namespace, edges, window, output }: TopOptions): Promise<void> {
  const toMs = Date.now();
  const calls = (await trafficSince(context, { fromMs: toMs - window, toMs })).calls();
  const own = calls.filter(({ source, destination }) => {
    const prefix = `${namespace}/`;
    return namespace === undefined || source?.startsWith(prefix) === true || destination?.startsWith(prefix) === true;
  });
  const signals = edges === true ? edgeSignals(own, window) : serviceSignals(own, window);
  print(output, { windowMs: window, signals }, () => topTable(signals));
}

function topTable(signals: readonly NamedSignals[]): string {
  if (signals.length === 0) return "no calls were reported";
  const rows = signals.map(({ name, perSecond, errors, refused, p50Ms, p99Ms }) => [
    safeText(name),
    perSecond.toFixed(1),
    percent(errors),
    percent(refused),
    milliseconds(p50Ms ?? undefined),
    milliseconds(p99Ms ?? undefined),
  ]);
  return table(["service", "calls/s", "errors", "refused", "p50", "p99"], rows);
}
