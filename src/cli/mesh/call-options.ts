/** How a command line describes a call: SRC DST METHOD PATH, and what else a rule can ask about. */

import { isIP } from "node:net";
import { type Command, InvalidArgumentError } from "commander";
import { parseJson } from "../../policy/json.ts";
import type { Claims } from "../../proxy/filters/claims.ts";
import type { Call } from "../../replay/call.ts";
import { sourceText } from "../../replay/source.ts";
import { UsageError } from "../failure.ts";
import { portNumber } from "../input/address.ts";
import type { Moment } from "../input/moment.ts";
import { parseServiceArgument, parseSourceArgument } from "../input/service-argument.ts";
import { type OutputFormat, outputOption } from "../output/output.ts";
import { namespaceOption } from "./change-options.ts";
import { type ConnectionOptions, connectionOptions } from "./context.ts";
import { atOption } from "./moment-argument.ts";

/** What a call brings along. */
export interface CallFactOptions {
  readonly header?: readonly Header[];
  readonly ip?: string;
  readonly port?: number;
  readonly sni?: string;
  readonly claim?: Claims;
}

export interface CallOptions extends CallFactOptions, ConnectionOptions {
  readonly namespace?: string;
  readonly label?: readonly (readonly [name: string, value: string])[];
  readonly at?: Moment;
  readonly output: OutputFormat;
}

/** As commander gives them. */
export type CallArguments = readonly [
  source: string,
  destination: string,
  method: string | undefined,
  path: string | undefined,
];

type Header = readonly [name: string, value: string];

const HEADER = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
/** RFC 9110 §9.1: a method is a token. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Adds the arguments and options of a command that asks about one call. */
export function callArguments(command: Command): Command {
  const described = connectionOptions(outputOption(namespaceOption(atOption(command))))
    .argument("<source>", "who calls: NAMESPACE/NAME, NAME with -n, a SPIFFE ID, or none (no identity)")
    .argument("<destination>", "the service that is called")
    .argument("[method]", "such as GET; left out for a TCP connection")
    .argument("[path]", "such as /items?page=2");
  return callFactOptions(described).option(
    "--label <name=value>",
    "a label of the instance that calls; may be repeated",
    collectPair,
  );
}

/** Adds the options that say what a call brings along. */
export function callFactOptions(command: Command): Command {
  return command
    .option("-H, --header <name: value>", "a header of the request; may be repeated", collectHeader)
    .option("--ip <address>", "address that the caller comes from")
    .option("--port <port>", "port of the service (default: its first)", calledPort)
    .option("--sni <name>", "server name that the caller asks for (default: what sidecars ask for)")
    .option(
      "--claim <name=value>",
      'what the end user\'s validated token says; repeated, a list; a value may be JSON such as {"roles":["admin"]}',
      collectClaim,
    );
}

/** The call that the arguments describe. Throws `UsageError`. */
export function callOf([source, destination, method, path]: CallArguments, options: CallOptions): Call {
  const { namespace, label } = options;
  const request = requestOf(method, path, options);
  const labels = label === undefined ? undefined : Object.fromEntries(label);
  return {
    ...request,
    source: parseSourceArgument(source, namespace),
    destination: parseServiceArgument(destination, namespace),
    facts: { ...request.facts, labels },
  };
}

/** What is asked, whoever asks it. Throws `UsageError`. */
export function requestOf(
  method: string | undefined,
  path: string | undefined,
  { header, ip, port, sni, claim }: CallFactOptions,
): Pick<Call, "method" | "path" | "headers" | "facts"> {
  if (method !== undefined && path === undefined) throw new UsageError("a method needs a path, such as GET /items");
  if (method !== undefined && !METHOD.test(method)) throw new UsageError(`'${method}' is no method, such as GET`);
  if (ip !== undefined && isIP(ip) === 0) throw new UsageError(`--ip: '${ip}' is no address, such as 10.0.0.7`);
  const facts = { ip, port, serverName: sni, claims: claim };
  return { method: method ?? "CONNECT", path: path ?? "", headers: header ?? [], facts };
}

/** `shop/web → shop/catalog GET /items` */
export function callText({ source, destination, method, path }: Call): string {
  const request = path === "" ? "over TCP" : `${method} ${path}`;
  return `${sourceText(source)} → ${destination.namespace}/${destination.name} ${request}`;
}

function calledPort(text: string): number {
  const port = portNumber(text) ?? 0;
  if (port > 0) return port;
  throw new InvalidArgumentError("A port is a number from 1 to 65535.");
}

/** One value is itself, several are a list; what has the form of an object or a list in JSON is one. */
function collectClaim(text: string, before: Claims = {}): Claims {
  const [[name, written] = ["", ""]] = collectPair(text, []);
  const value = /^[[{]/.test(written) ? parseJson(written) : written;
  if (value === undefined) throw new InvalidArgumentError(`What begins like JSON must be JSON: ${written}`);
  const known = Object.hasOwn(before, name) ? before[name] : undefined;
  return { ...before, [name]: known === undefined ? value : [known, value].flat() };
}

function collectPair(text: string, before: CallOptions["label"]): NonNullable<CallOptions["label"]> {
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
