/** What commands print: tables for people, one JSON or YAML document for machines, colour only where it is seen. */

import { type Command, Option } from "commander";
import { stringify } from "yaml";
import { escapeUnsafe } from "./safe-text.ts";

const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Adds `-o table|json|yaml`, which comes out as `output`. */
export function outputOption(command: Command): Command {
  return command.addOption(
    new Option("-o, --output <format>", "how to print").choices(OUTPUT_FORMATS).default("table"),
  );
}

/** Prints `value` as the format says; `people` writes the table, and is only called for one. */
export function print(format: OutputFormat, value: unknown, people: () => string): void {
  printText(rendered(format, value, people));
}

function rendered(format: OutputFormat, value: unknown, people: () => string): string {
  switch (format) {
    case "table":
      return people();
    case "json":
      return escapeUnsafe(JSON.stringify(value, null, 2));
    case "yaml":
      return stringify(value);
  }
}

/** To the standard output, with a line end unless there is one; nothing for an empty text. */
export function printText(text: string): void {
  if (text !== "") process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Progress and remarks go to the standard error: the standard output is what was asked for. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof STYLES;

/** Wraps text in a colour, or returns it as it is where there are none. */
export type Paint = (style: Style, text: string) => string;

/** For a stream: colour on a terminal, never under a non-empty NO_COLOR (no-color.org) or on a dumb terminal. */
export function painter(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Paint {
  const plain = stream.isTTY !== true || (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  return (style, text) => (plain || text === "" ? text : `\u001b[${STYLES[style]}m${text}\u001b[0m`);
}

/** Columns are this far apart. */
const GAP = 3;
const ESCAPES = /\u001b\[[0-9;]*m/g;

/** Aligned columns with their heads in capitals; cells may be coloured. The last column is not padded. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heads.map((head) => head.toUpperCase()), ...rows];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column] ?? ""))));
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === line.length - 1 ? cell : padded(cell, (widths[column] ?? 0) + GAP)))
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

function padded(cell: string, width: number): string {
  return cell + " ".repeat(Math.max(0, width - widthOf(cell)));
}

/** On a terminal: colours take no room. */
function widthOf(cell: string): number {
  return Bun.stringWidth(cell.replaceAll(ESCAPES, ""));
}
