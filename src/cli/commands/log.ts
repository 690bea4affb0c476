/** `heddle log`: who changed what, when and why. Reads the ledger itself, backwards from its end. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { EventLog } from "../../events/log.ts";
import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { PolicyKind } from "../../policy/schema.ts";
import { type HistoryEntry, historyEntry } from "../../replay/history.ts";
import { UsageError } from "../failure.ts";
import { parseKind } from "../input/document-argument.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { namespaceOption, parseCount } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import type { LedgerReader } from "../mesh/indexed-ledger.ts";
import { impactLines, worseningsOf } from "../mesh/log-impact.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { type LogQuery, recentEntries } from "../mesh/recent-entries.ts";
import { graphLanes } from "../output/log-graph.ts";
import { type ShownEntries, showAsFound } from "../output/log-listing.ts";
import { LOG_FORMATS, type LogFormat, logTable, logValue } from "../output/log-output.ts";
import { note, painter, print, printText } from "../output/output.ts";
import { ProgressLine } from "../output/progress.ts";
import { escapeUnsafe } from "../output/safe-text.ts";

interface LogOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly service?: string;
  readonly source?: string;
  readonly destination?: string;
  readonly kind?: PolicyKind;
  readonly actor?: string;
  readonly since?: Moment;
  readonly until?: Moment;
  readonly access?: true;
  readonly grep?: string;
  readonly limit: number;
  readonly graph?: true;
  readonly follow?: true;
  readonly impact?: true;
  readonly absolute?: true;
  readonly output: LogFormat;
}

type Ledger = Omit<EventLog, "append">;

const LIMIT_DEFAULT = 50;
/** A search of a long ledger shows what it has found after this time, and does not wait until all is read. */
const FOUND_SHOWN_MS = 500;

const HELP = `
The newest change comes first; with --follow the newest comes last and what happens from now on follows, for machines
as one JSON value per line. ${MOMENT_HELP}

Examples:
  heddle log shop/catalog --since 1h
  heddle log --access --destination shop/payment
  heddle log --actor alice -o json
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await connectionOptions(namespaceOption(command))
    .description("Show who changed what, when and why.")
    .argument("[service]", "only what concerns this service (NAMESPACE/NAME, or NAME with -n)")
    .option("--service <service>", "the same, as an option")
    .option("--source <service>", "only what a rule says of this service as a caller")
    .option("--destination <service>", "only what is about this service as the one that is called")
    .option("--kind <kind>", "only changes of documents of this kind", kindOption)
    .option("--actor <name>", "only changes by this operator")
    .option("--since <time>", "not before this", momentOption)
    .option("--until <time>", "not after this", momentOption)
    .option("--access", "only what decides who may call whom")
    .option("--grep <text>", "only where the reason or the change in words holds this")
    .option("--limit <count>", "at most so many changes", parseCount, LIMIT_DEFAULT)
    .option("--impact", "say after which changes errors, refusals or latency rose")
    .option("--absolute", "times in full, rather than how long ago")
    .option("--graph", "with a lane for each namespace")
    .option("-f, --follow", "go on with what happens from now on")
    .addOption(new Option("-o, --output <format>", "how to print").choices(LOG_FORMATS).default("table"))
    .addHelpText("after", HELP)
    .action(async (service: string | undefined, given: LogOptions) => {
      const options = withService(given, service);
      if (options.follow === true && options.graph === true) {
        throw new UsageError("--graph needs to know what comes, and --follow does not: leave one of them out");
      }
      if (options.follow === true && options.impact === true) {
        throw new UsageError(
          "--impact needs what came after a change, and --follow does not wait: leave one of them out",
        );
      }
      if (options.follow === true && options.until !== undefined) {
        throw new UsageError("--follow goes on for ever, and --until names an end: leave one of them out");
      }
      await withOperator(options, async (context) => {
        const query = await queryOf(context.ledger, options);
        if (options.follow === true) await follow(context, query, options);
        else await list(context, query, options);
      });
    })
    .parseAsync(args, { from: "user" });
}

/** Throws `UsageError` where two services are named. */
function withService(options: LogOptions, service: string | undefined): LogOptions {
  if (service === undefined) return options;
  if (options.service === undefined || options.service === service) return { ...options, service };
  throw new UsageError(`two services are named, ${service} and ${options.service}: leave one of them out`);
}

async function list(context: OperatorContext, query: LogQuery, options: LogOptions): Promise<void> {
  const { limit, output, graph, impact, absolute } = options;
  const progress = new ProgressLine();
  const found = limited(recentEntries(context, query, progress), limit);
  const style = { width: process.stdout.columns, times: absolute === true ? "absolute" : "relative" } as const;
  if (output === "table" && graph !== true && impact !== true) {
    const show = (text: string): void => {
      progress.clear();
      printText(text);
    };
    noteEnd(await showAsFound(found, { style, show, everyMs: FOUND_SHOWN_MS, now: Date.now }), limit, query);
    return;
  }
  const entries = await Array.fromAsync(found);
  const impacts = impact === true ? await worseningsOf(context, entries, Date.now()) : undefined;
  if (output !== "table") {
    const values = entries.map((entry) => {
      const value = logValue(entry, output);
      return impacts === undefined || output === "cloudevents"
        ? value
        : { ...value, impact: impacts.get(entry.recorded.revision) ?? [] };
    });
    print(output === "yaml" ? "yaml" : "json", values, () => "");
    return;
  }
  if (entries.length > 0) {
    const lanes = graph === true ? { lanes: graphLanes(entries, painter(process.stdout)) } : {};
    printText(logTable(entries, { ...style, nowMs: Date.now(), ...lanes }));
    if (impacts !== undefined) printText(impactLines(impacts, painter(process.stdout)));
  }
  noteEnd({ count: entries.length, last: entries.at(-1) }, limit, query);
}

/** Says what a list of changes does not show. */
function noteEnd({ count, last }: ShownEntries, limit: number, { from }: LogQuery): void {
  if (count === 0) note("there are no such changes");
  else if (count === limit && last?.recorded.revision !== from) note(`the last ${limit}; --limit shows more`);
}

async function* limited<T>(items: AsyncIterable<T>, max: number): AsyncGenerator<T> {
  let count = 0;
  for await (const item of items) {
    yield item;
    if (++count === max) return;
  }
}

async function follow(reader: LedgerReader, query: LogQuery, { limit, output }: LogOptions): Promise<void> {
  const { ledger } = reader;
  const last = await ledger.lastRevision();
  const recent = recentEntries(reader, { ...query, to: last }, new ProgressLine());
  const said = (await Array.fromAsync(limited(recent, limit))).reverse();
  const say = (entries: readonly HistoryEntry[], heads: boolean): void => {
    const style = { nowMs: Date.now(), width: process.stdout.columns, times: "absolute", heads } as const;
    if (output === "table") printText(logTable(entries, style));
    else if (output === "yaml") for (const entry of entries) print("yaml", [logValue(entry, output)], () => "");
    else printText(entries.map((entry) => `${escapeUnsafe(JSON.stringify(logValue(entry, output)))}\n`).join(""));
  };
  say(said, true);
  const subscription = await ledger.subscribe(Math.max(last + 1, query.from), (recorded) => {
    const entry = historyEntry(recorded, query.filter);
    if (entry !== undefined) say([entry], false);
  });
  const stop = (): void => subscription.stop();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  await subscription.closed;
}

async function queryOf(ledger: Ledger, options: LogOptions): Promise<LogQuery> {
  const { kind, actor, access, grep, namespace } = options;
  const [since, until] = await Promise.all([options.since, options.until].map((moment) => fixed(ledger, moment)));
  const refOf = (text: string): ServiceRef => {
    const service = parseServiceArgument(text, namespace);
    return serviceRef(service.namespace, service.name);
  };
  return {
    from: since?.kind === "revision" ? since.revision : 1,
    to: until?.kind === "revision" ? until.revision : undefined,
    filter: {
      ...(namespace === undefined ? {} : { namespace }),
      ...(options.service === undefined ? {} : { service: refOf(options.service) }),
      ...(options.source === undefined ? {} : { source: refOf(options.source) }),
      ...(options.destination === undefined ? {} : { destination: refOf(options.destination) }),
      ...(kind === undefined ? {} : { kind }),
      ...(actor === undefined ? {} : { actor }),
      ...(since?.kind === "time" ? { sinceMs: since.timeMs } : {}),
      // The filter leaves out its end, and a person who names a moment means to include it.
      ...(until?.kind === "time" ? { untilMs: until.timeMs + 1 } : {}),
      ...(grep === undefined ? {} : { text: grep }),
      ...(access === undefined ? {} : { accessOnly: access }),
    },
  };
}

/** What is said relative to the last change, as the revision that it means. */
async function fixed(ledger: Ledger, moment: Moment | undefined): Promise<Moment | undefined> {
  return moment?.kind === "head" ? { kind: "revision", revision: await revisionOf(ledger, moment) } : moment;
}

function kindOption(text: string): PolicyKind {
  const kind = parseKind(text);
  if (kind.ok) return kind.value;
  throw new InvalidArgumentError(kind.error);
}
