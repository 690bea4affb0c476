/** How a command line describes a call: SRC DST METHOD PATH, and what else a rule can ask about. */

import { type Command, InvalidArgumentError } from "commander";
import type { ServiceName } from "../../projections/call-graph.ts";
import type { Call } from "../../replay/call.ts";
import { UsageError } from "../failure.ts";
import { portNumber } from "../input/address.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument } from "../input/service-argument.ts";
import { type OutputFormat, outputOption } from "../output/output.ts";
import { namespaceOption } from "./change-options.ts";
import { type ConnectionOptions, connectionOptions } from "./context.ts";
import { atOption } from "./moment-argument.ts";

export interface CallOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly header?: readonly Header[];
  readonly ip?: string;
  readonly port?: number;
  readonly sni?: string;
  readonly label?: readonly (readonly [name: string, value: string])[];
  readonly claim?: readonly (readonly [name: string, value: string])[];
  readonly at?: Moment;
  readonly output: OutputFormat;
}

type Header = readonly [name: string, value: string];

const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
/** RFC 9110 §9.1: a method is a token. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Adds the arguments and options of a command that asks about one call. */
export function callArguments(command: Command): Command {
  return connectionOptions(outputOption(namespaceOption(atOption(command))))
    .argument("<source>", "the service that calls: NAMESPACE/NAME, or NAME with -n")
    .argument("<destination>", "the service that is called")
    .argument("[method]", "such as GET; left out for a TCP connection")
    .argument("[path]", "such as /items?page=2")
    .option("-H, --header <name: value>", "a header of the request; may be repeated", collectHeader)
    .option("--ip <address>", "address that the caller comes from")
    .option("--port <port>", "port of the service (default: its first)", calledPort)
    .option("--sni <name>", "server name that the caller asks for")
    .option("--claim <name=value>", "what the end user's validated token says; may be repeated", collectPair)
    .option("--label <name=value>", "a label of the instance that calls; may be repeated", collectPair);
}

/** The call that the arguments describe. Throws `UsageError`. */
export function callOf(
  [source, destination, method, path]: readonly [string, string, string | undefined, string | undefined],
  { namespace, header, ip, port, sni, claim, label }: CallOptions,
): Call {
  if (method !== undefined && path === undefined) throw new UsageError("a method needs a path, such as GET /items");
  if (method !== undefined && !METHOD.test(method)) throw new UsageError(`'${method}' is no method, such as GET`);
  const [from, to]: ServiceName[] = [source, destination].map((text) => parseServiceArgument(text, namespace));
  if (from === undefined || to === undefined) throw new UsageError("name who calls, and who is called");
  const claims = claim === undefined ? undefined : Object.fromEntries(claim);
  const labels = label === undefined ? undefined : Object.fromEntries(label);
  const facts = { ip, port, serverName: sni, claims, labels };
  return { source: from, destination: to, method: method ?? "CONNECT", path: path ?? "", headers: header ?? [], facts };
}

/** `shop/web → shop/catalog GET /items` */
export function callText({ source, destination, method, path }: Call): string {
  const request = path === "" ? "over TCP" : `${method} ${path}`;
  return `${source.namespace}/${source.name} → ${destination.namespace}/${destination.name} ${request}`;
}

function calledPort(text: string): number {
  const port = portNumber(text) ?? 0;
  if (port > 0) return port;
  throw new InvalidArgumentError("A port is a number from 1 to 65535.");
}

function collectPair(text: string, before: CallOptions["claim"]): NonNullable<CallOptions["claim"]> {
  const equals = text.indexOf("=");
  if (equals > 0) return [...(before ?? []), [text.slice(0, equals), text.slice(equals + 1)]];
  throw new InvalidArgumentError("Write it as NAME=VALUE, such as role=admin.");
}

function collectHeader(text: string, before: readonly Header[] | undefined): readonly Header[] {
  const [, name, value] = HEADER.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError("Write a header as NAME: VALUE, such as 'x-user: beta'.");
  }
  return [...(before ?? []), [name.toLowerCase(), value]];
}
