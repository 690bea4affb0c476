/** What every command that changes the mesh takes, and the readers of option values that several commands share. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../../policy/duration.ts";
import { DNS_LABEL, MESH_NAMESPACE } from "../../policy/names.ts";
import { type OutputFormat, outputOption } from "../output/output.ts";
import { type ConnectionOptions, connectionOptions } from "./context.ts";

/** As long as the control plane is willing to hold a question. */
const TIMEOUT_MAX_MS = 600_000;
const TIMEOUT_DEFAULT_MS = 30_000;
/** The ledger keeps no longer ones. */
const REASON_LENGTH_MAX = 1_024;
const REVISION = /^\d{1,15}$/;

export interface ChangeOptions extends ConnectionOptions {
  readonly namespace?: string;
  readonly output: OutputFormat;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly reason: string;
  readonly wait?: true;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Adds the options of a command that changes the mesh, those of the connection among them. */
export function changeOptions(command: Command): Command {
  command.option("--dry-run", "show what would change, and change nothing").option("-y, --yes", "do not ask");
  reasonOption(command).option("--wait", "wait until every connected instance enforces it");
  return connectionOptions(outputOption(namespaceOption(timeoutOption(command))));
}

export function reasonOption(command: Command): Command {
  const option = new Option("--reason <text>", "why, for whoever reads the history");
  return command.addOption(option.argParser(parseReason).default("", "none"));
}

/** Adds `--timeout`, which comes out in milliseconds. */
export function timeoutOption(command: Command): Command {
  const option = new Option("--timeout <duration>", "how long to wait");
  return command.addOption(option.argParser(parseTimeout).default(TIMEOUT_DEFAULT_MS, "30s"));
}

export function namespaceOption(command: Command): Command {
  return command.option("-n, --namespace <namespace>", "only this namespace", parseNamespace);
}

/** Reads a revision: an integer from 0. */
export function parseRevision(text: string): number {
  if (REVISION.test(text)) return Number(text);
  throw new InvalidArgumentError("A revision is a number, as `heddle log` shows it.");
}

/** Reads an integer from 1 on. */
export function parseCount(text: string): number {
  const count = REVISION.test(text) ? Number(text) : 0;
  if (count >= 1) return count;
  throw new InvalidArgumentError("It must be a number above zero.");
}

/** For options that may be repeated. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

/** Reads the name of a namespace, or of what is mesh-wide. */
export function parseNamespace(text: string): string {
  if (text === MESH_NAMESPACE || DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError(`A namespace is a DNS label such as shop, or ${MESH_NAMESPACE}.`);
}

function parseTimeout(text: string): number {
  const timeoutMs = parseDuration(text);
  if (timeoutMs !== undefined && timeoutMs <= TIMEOUT_MAX_MS) return timeoutMs;
  throw new InvalidArgumentError("It must be a duration such as 30s, at most 10m.");
}

function parseReason(text: string): string {
  if (text.length <= REASON_LENGTH_MAX) return text;
  throw new InvalidArgumentError(`It may have ${REASON_LENGTH_MAX} characters at most.`);
}
