/** `heddle fault`: let calls of a service fail or wait on purpose, see what does, and end it. */

import { randomBytes } from "node:crypto";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CommandBody } from "../../events/commands.ts";
import { faultText } from "../../events/describe.ts";
import type { FaultState, MeshState } from "../../events/state.ts";
import { formatDuration, parseDuration } from "../../policy/duration.ts";
import { serviceRef } from "../../policy/names.ts";
import { renderInline } from "../../policy/render.ts";
import { type RouteMatch, type RouteRule, routeMatch, routeRule } from "../../policy/schema.ts";
import { Failure, UsageError } from "../failure.ts";
import { grpcStatusCode } from "../input/grpc-status-name.ts";
import { formatRelative, type Moment } from "../input/moment.ts";
import { parseCallers, parseServiceArgument } from "../input/service-argument.ts";
import { type ChangeOptions, changeOptions, namespaceOption } from "../mesh/change-options.ts";
import { changeAtOnce } from "../mesh/change-report.ts";
import { type ConnectionOptions, connectionOptions, withOperator } from "../mesh/context.ts";
import { currentState } from "../mesh/known-mesh.ts";
import { atOption, meshAt } from "../mesh/moment-argument.ts";
import { type OutputFormat, outputOption, print, table } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";

type Fault = NonNullable<RouteRule["fault"]>;
type Delay = NonNullable<Fault["delay"]>;
type Abort = NonNullable<Fault["abort"]>;

interface InjectOptions extends ChangeOptions {
  readonly delay?: Delay;
  /** Bytes a second. */
  readonly bandwidth?: number;
  readonly direction?: "request" | "response";
  readonly abort?: Abort;
  readonly percent?: number;
  readonly path?: string;
  readonly methods?: string;
  readonly from?: string;
  /** Milliseconds. */
  readonly for?: number;
}

interface ListOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly at?: Moment;
  readonly output: OutputFormat;
}

const HELP = `
Conditions hold together, and without any every call is meant. Of several faults of one service, the latest whose
conditions hold is met, in place of what the route's own rule makes fail. With --for, the control plane ends it by itself.

Examples:
  heddle fault inject shop/payment --abort 503 --percent 10 --for 10m --reason "does checkout retry?"
  heddle fault inject shop/catalog --delay 2s --path "/items/*" --from shop/web
  heddle fault inject shop/catalog --delay p50=20ms,p99=800ms --for 10m
  heddle fault inject shop/catalog --bandwidth 16384 --direction response --for 10m
`;

export async function run(command: Command, args: readonly string[]): Promise<void> {
  command.description("Let calls of a service fail or wait on purpose. Acts at once.");
  injectCommand(command.command("inject"));
  connectionOptions(atOption(outputOption(namespaceOption(command.command("list")))))
    .description("Show the faults that are in force, or were then.")
    .action((options: ListOptions) => list(options));
  changeOptions(command.command("clear"))
    .description("End one fault, or all of a service.")
    .argument("<fault>", "its name, as `heddle fault list` shows it; or NAMESPACE/NAME of the service")
    .action((text: string, options: ChangeOptions) => clear(text, options));
  await command.parseAsync(args, { from: "user" });
}

function injectCommand(command: Command): void {
  changeOptions(command)
    .description("Let calls of a service wait (--delay), fail (--abort), crawl (--bandwidth), or several of these.")
    .argument("<service>", "NAMESPACE/NAME, or NAME with -n")
    .option(
      "--delay <duration>",
      "hold calls up that long, such as 2s; or by percentiles, such as p50=20ms,p99=800ms",
      parseDelay,
    )
    .option("--bandwidth <bytes>", "let bodies through no faster than so many bytes a second", parseBandwidth)
    .addOption(
      new Option("--direction <which>", "only these bodies crawl; without it both").choices(["request", "response"]),
    )
    .option("--abort <how>", "fail them: an HTTP status such as 503, grpc:UNAVAILABLE, or reset", parseAbort)
    .option(
      "--percent <share>",
      "only so many of a hundred calls; delay, abort and bandwidth are drawn each on its own",
      parseShare,
    )
    .option("--path <path>", "only this path; /admin/* is everything below, {id} any one segment")
    .option("--methods <methods>", "only these methods, with commas between")
    .option("--from <callers>", "only calls of these services, with commas between; shop/* is a whole namespace")
    .option("--for <duration>", "end it by itself after so long, such as 10m", parseTime)
    .addHelpText("after", HELP)
    .action((service: string, options: InjectOptions) => inject(service, options));
}

async function inject(text: string, options: InjectOptions): Promise<void> {
  const service = parseServiceArgument(text, options.namespace);
  const { for: forMs } = options;
  const match = readMatch(options);
  const body: CommandBody = {
    kind: "fault-inject",
    service,
    id: randomBytes(3).toString("hex"),
    ...(match === undefined ? {} : { match }),
    fault: readFault(options),
    ...(forMs === undefined ? {} : { expiresAt: new Date(Date.now() + forMs).toISOString() }),
  };
  await send(service.namespace, body, options);
}

/** Throws `UsageError` where nothing would happen. */
function readFault({ delay, abort, bandwidth, direction, percent }: InjectOptions): Fault {
  if (delay === undefined && abort === undefined && bandwidth === undefined) {
    throw new UsageError("say what is to happen: --delay 2s, --abort 503, --bandwidth 16384, or several of these");
  }
  if (direction !== undefined && bandwidth === undefined) {
    throw new UsageError("--direction says which bodies --bandwidth is about: say how many bytes a second");
  }
  const share = percent === undefined ? {} : { percent };
  const bodies = direction === undefined ? {} : { direction };
  return {
    ...(delay === undefined ? {} : { delay: { ...delay, ...share } }),
    ...(bandwidth === undefined ? {} : { bandwidth: { bytesPerSecond: bandwidth, ...bodies, ...share } }),
    ...(abort === undefined ? {} : { abort: { ...abort, ...share } }),
  };
}

/** Throws `UsageError` for what no rule may hold. */
function readMatch({ path, methods, from, namespace }: InjectOptions): RouteMatch | undefined {
  const written = {
    ...(path === undefined ? {} : { path: { template: path } }),
    ...(methods === undefined ? {} : { methods: methods.toUpperCase().split(",") }),
    ...(from === undefined ? {} : { from: parseCallers(from, namespace) }),
  };
  if (Object.keys(written).length === 0) return undefined;
  const parsed = routeMatch.safeParse(written);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--${String(issue?.path[0])}: ${issue?.message}`);
}

async function clear(text: string, options: ChangeOptions): Promise<void> {
  await withOperator(options, async (context) => {
    const known = faultsOf(await currentState(context), options.namespace).find(({ id }) => id === text);
    if (known !== undefined) {
      await send(known.namespace, { kind: "fault-clear", id: known.id }, options);
      return;
    }
    if (!text.includes("/") && options.namespace === undefined) {
      throw new Failure(`there is no fault ${safeText(text)}: see \`heddle fault list\``);
    }
    const { namespace, name } = parseServiceArgument(text, options.namespace);
    await send(namespace, { kind: "fault-clear", service: name }, options);
  });
}

async function send(namespace: string, body: CommandBody, options: ChangeOptions): Promise<void> {
  await withOperator(options, async (context) => {
    await changeAtOnce(context, { namespace, body }, options);
  });
}

interface ListedFault extends FaultState {
  readonly id: string;
  readonly namespace: string;
}

/** In the order in which they were injected. */
function faultsOf({ namespaces }: MeshState, namespace: string | undefined): ListedFault[] {
  return [...namespaces]
    .filter(([name]) => namespace === undefined || name === namespace)
    .flatMap(([name, { faults }]) => Array.from(faults, ([id, fault]) => ({ id, namespace: name, ...fault })))
    .sort((a, b) => a.origin.revision - b.origin.revision);
}

async function list({ namespace, at, output, ...connection }: ListOptions): Promise<void> {
  await withOperator(connection, async (context) => {
    const faults = faultsOf((await meshAt(context, at)).state, namespace);
    print(output, faults, () => faultTable(faults, Date.now()));
  });
}

function faultTable(faults: readonly ListedFault[], nowMs: number): string {
  if (faults.length === 0) return "no faults are injected";
  const rows = faults.map(({ id, namespace, service, match, fault, expiresAt, origin }) => [
    id,
    safeText(serviceRef(namespace, service)),
    safeText(match === undefined ? "all" : renderInline(match)),
    faultText(fault),
    expiresAt === undefined ? "when cleared" : formatRelative(Date.parse(expiresAt), nowMs),
    formatRelative(Date.parse(origin.time), nowMs),
    safeText(origin.actor),
  ]);
  return table(["fault", "service", "calls", "what happens", "ends", "injected", "by"], rows);
}

function parseDelay(text: string): Delay {
  const named = text.split(",").map((part) => /^(p[^=]+)=(.+)$/.exec(part) ?? []);
  const written = text.startsWith("p")
    ? { percentiles: Object.fromEntries(named.map(([, name = "", duration = ""]) => [name, duration])) }
    : { fixed: formatDuration(parseTime(text)) };
  const parsed = routeRule.shape.fault.safeParse({ delay: written });
  if (parsed.success && parsed.data?.delay !== undefined) return parsed.data.delay;
  const [issue] = parsed.error?.issues ?? [];
  throw new InvalidArgumentError(
    `It must be a duration such as 2s, or percentiles such as p50=20ms,p99=800ms: ${issue?.message}.`,
  );
}

/** Bytes a second. */
function parseBandwidth(text: string): number {
  const bytes = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (bytes >= 1 && bytes <= 1_000_000_000) return bytes;
  throw new InvalidArgumentError("It must be a number of bytes a second, such as 16384.");
}

/** Milliseconds. */
function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError("It must be a duration such as 2s or 10m.");
}

function parseShare(text: string): number {
  const share = /^\d{1,3}(?:\.\d{1,4})?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (share > 0 && share <= 100) return share;
  throw new InvalidArgumentError("It must be a share in percent, such as 10.");
}

function parseAbort(text: string): Abort {
  if (text === "reset") return { reset: true };
  const status = /^[2-5]\d\d$/.test(text) ? Number(text) : undefined;
  if (status !== undefined) return { status };
  const grpcStatus = text.startsWith("grpc:") ? grpcStatusCode(text.slice("grpc:".length)) : undefined;
  if (grpcStatus !== undefined) return { grpcStatus };
  throw new InvalidArgumentError("It must be an HTTP status such as 503, grpc:UNAVAILABLE or grpc:14, or reset.");
}
