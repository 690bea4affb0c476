/** `heddle log`: who changed what, when and why. Reads the ledger itself, backwards from its end. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { EventLog } from "../../events/log.ts";
import { type ServiceRef, serviceRef } from "../../policy/names.ts";
import type { PolicyKind } from "../../policy/schema.ts";
import { type HistoryEntry, type HistoryFilter, historyEntry } from "../../replay/history.ts";
import { UsageError } from "../failure.ts";
import { parseKind } from "../input/document-argument.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { namespaceOption, parseCount } from "../mesh/change-options.ts";
import { type ConnectionOptions, connectionOptions, type OperatorContext, withOperator } from "../mesh/context.ts";
import { CLOCK_SKEW_MS, type LedgerReader, rangesToRead } from "../mesh/indexed-ledger.ts";
import { impactLines, worseningsOf } from "../mesh/log-impact.ts";
import { MOMENT_HELP, momentOption, revisionOf } from "../mesh/moment-argument.ts";
import { recentChanges } from "../mesh/recent-changes.ts";
import { graphLanes } from "../output/log-graph.ts";
import { LOG_FORMATS, type LogFormat, logTable, logValue } from "../output/log-output.ts";
import { note, painter, print, printText } from "../output/output.ts";
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

/** Which changes are looked at, and which of them pass. */
interface LogQuery {
  /** First and last revision. */
  readonly from: number;
  readonly to: number | undefined;
  readonly filter: HistoryFilter;
}

const LIMIT_DEFAULT = 50;
/** Whoever looks for a text in a long ledger waits: from time to time they are told how far it has come. */
const PROGRESS_MS = 3_000;

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

/** The last entries that pass, newest first. */
export async function recentEntries(reader: LedgerReader, query: LogQuery, limit: number): Promise<HistoryEntry[]> {
  const { from, filter } = query;
  const { namespace, sinceMs = Number.NEGATIVE_INFINITY } = filter;
  const to = Math.min(query.to ?? Number.POSITIVE_INFINITY, await reader.ledger.lastRevision());
  const entries: HistoryEntry[] = [];
  let toldMs = performance.now();
  for await (const range of rangesToRead(reader, { from, to }, filter)) {
    const inNamespace = { ...range, ...(namespace === undefined ? {} : { namespace }) };
    for await (const recorded of recentChanges(reader.ledger, inNamespace)) {
      if (Date.parse(recorded.change.time) < sinceMs - CLOCK_SKEW_MS) return entries;
      const entry = historyEntry(recorded, filter);
      if (entry !== undefined) entries.push(entry);
      if (entries.length === limit) return entries;
      if (performance.now() - toldMs < PROGRESS_MS) continue;
      toldMs = performance.now();
      note(`looked back to revision ${recorded.revision} so far`);
    }
  }
  return entries;
}

async function list(
  context: OperatorContext,
  query: LogQuery,
  { limit, output, graph, impact, absolute }: LogOptions,
): Promise<void> {
  const entries = await recentEntries(context, query, limit);
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
  if (entries.length === 0) note("there are no such changes");
  else {
    const lanes = graph === true ? { lanes: graphLanes(entries, painter(process.stdout)) } : {};
    const times = absolute === true ? "absolute" : "relative";
    printText(logTable(entries, { nowMs: Date.now(), width: process.stdout.columns, times, ...lanes }));
    if (impacts !== undefined) printText(impactLines(impacts, painter(process.stdout)));
  }
  if (entries.length === limit && entries.at(-1)?.recorded.revision !== query.from)
    note(`the last ${limit}; --limit shows more`);
}

async function follow(reader: LedgerReader, query: LogQuery, { limit, output }: LogOptions): Promise<void> {
  const { ledger } = reader;
  const last = await ledger.lastRevision();
  const said = (await recentEntries(reader, { ...query, to: last }, limit)).reverse();
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
