/** The conditions of an access rule, as options of the command line. */

import { type Command, InvalidArgumentError } from "commander";
import { type AccessConditions, accessConditions } from "../../policy/schema.ts";
import { UsageError } from "../failure.ts";
import { portNumber } from "./address.ts";

export interface ConditionOptions {
  readonly methods?: string[];
  readonly notMethods?: string[];
  readonly paths?: string[];
  readonly notPaths?: string[];
  readonly grpc?: NonNullable<AccessConditions["grpc"]>;
  readonly ports?: number[];
  readonly ip?: string[];
  readonly sni?: string[];
  readonly header?: NonNullable<AccessConditions["headers"]>;
  readonly claim?: NonNullable<AccessConditions["when"]>;
}

/** Every option is one condition; all hold together. */
export function conditionOptions(command: Command): Command {
  return command
    .option("--methods <methods>", "only these methods, with commas between", parseMethods)
    .option("--not-methods <methods>", "any method but these", parseMethods)
    .option("--paths <paths>", "only these paths; /admin/* is everything below, {id} any one segment", parsePaths)
    .option("--not-paths <paths>", "any path but these", parsePaths)
    .option("--grpc <calls>", "only these gRPC services or methods, such as shop.Payment/Charge", parseGrpc)
    .option("--ports <ports>", "only these ports of the service", parsePorts)
    .option("--ip <ranges>", "only from these addresses, such as 10.0.0.0/8", parseList)
    .option("--sni <names>", "only under these server names", parseList)
    .option("--header <name=value>", "only with this header; without a value, with any; may be repeated", parseHeader)
    .option("--claim <name=value>", "only with a token whose claim has this value; may be repeated", parseClaim);
}

/** Throws `UsageError` for what no rule may hold. */
export function readConditions(from: string[], options: ConditionOptions): AccessConditions {
  const { methods, notMethods, paths, notPaths, grpc, ports, ip, sni, header, claim } = options;
  const written = {
    from,
    ipBlocks: ip,
    methods,
    notMethods,
    paths,
    notPaths,
    ports,
    headers: header,
    sni,
    grpc,
    when: claim,
  };
  const parsed = accessConditions.safeParse(written);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(issue === undefined ? "these conditions make no rule" : problem(issue, written));
}

/** Fields whose options have another name. */
const OPTION_NAMES: Readonly<Record<string, string>> = {
  from: "FROM",
  ipBlocks: "--ip",
  headers: "--header",
  when: "--claim",
  notMethods: "--not-methods",
  notPaths: "--not-paths",
};

function problem(
  { path, message }: { readonly path: readonly PropertyKey[]; readonly message: string },
  written: Readonly<Record<string, unknown>>,
): string {
  const [field, index] = path.map(String);
  if (field === undefined) return message;
  const values = written[field];
  const value = Array.isArray(values) && index !== undefined ? values[Number(index)] : undefined;
  const shown = typeof value === "string" ? `${JSON.stringify(value)} ` : "";
  return `${OPTION_NAMES[field] ?? `--${field}`}: ${shown}${message}`;
}

function parseList(text: string): string[] {
  return text.split(",");
}

function parseMethods(text: string): string[] {
  return text.toUpperCase().split(",");
}

/** A comma stands between paths only where another path follows it: paths may hold commas. */
function parsePaths(text: string): string[] {
  return text.split(/,(?=\/)/);
}

function parsePorts(text: string): number[] {
  return text.split(",").map((text) => {
    const port = portNumber(text) ?? 0;
    if (port > 0) return port;
    throw new InvalidArgumentError("Ports are numbers with commas between, such as 8080,9090.");
  });
}

/** `shop.Payment`, or `shop.Payment/Charge`; methods of one service come together. */
function parseGrpc(text: string): NonNullable<AccessConditions["grpc"]> {
  const calls = text.split(",").map((call) => call.split("/"));
  const whole = calls.filter(([, method]) => method === undefined).map(([service = ""]) => ({ service }));
  const single = Map.groupBy(
    calls.filter(([, method]) => method !== undefined),
    ([service = ""]) => service,
  );
  const parts = Array.from(single, ([service, own]) => ({
    service,
    methods: own.map(([, ...rest]) => rest.join("/")),
  }));
  return [...whole, ...parts];
}

function parseHeader(text: string, before: ConditionOptions["header"] = {}): NonNullable<ConditionOptions["header"]> {
  const { name, value } = splitPair(text);
  return { ...before, [name]: value === undefined ? { present: true } : { exact: value } };
}

function parseClaim(text: string, before: ConditionOptions["claim"] = []): NonNullable<ConditionOptions["claim"]> {
  const { name, value = "*" } = splitPair(text);
  return [...before, { claim: name, values: [value] }];
}

function splitPair(text: string): { readonly name: string; readonly value: string | undefined } {
  const equals = text.indexOf("=");
  return equals < 0 ? { name: text, value: undefined } : { name: text.slice(0, equals), value: text.slice(equals + 1) };
}
