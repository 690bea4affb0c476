/** A report as Markdown, as a page, or as a table for a spreadsheet. */

import {
  type AuditReport,
  REPORT_COLUMNS,
  type ReportColumn,
  type ReportRow,
  type ReportSection,
} from "../../replay/audit-report.ts";
import { safeText } from "./safe-text.ts";

export const REPORT_FORMATS = ["markdown", "html", "csv", "json"] as const;
export type ReportFormat = (typeof REPORT_FORMATS)[number];

/** The report in one of `REPORT_FORMATS`. */
export function reportText(report: AuditReport, format: ReportFormat): string {
  switch (format) {
    case "markdown":
      return markdown(report);
    case "html":
      return html(report);
    case "csv":
      return csv(report);
    case "json":
      return `${JSON.stringify(report, null, 2)}\n`;
  }
}

function markdown({ title, facts, sections }: AuditReport): string {
  const lines = [`# ${inMarkdown(title)}`, "", ...facts.map(([name, value]) => `- ${name}: ${factInMarkdown(value)}`)];
  for (const section of sections) {
    lines.push("", `## ${inMarkdown(section.title)}`, "");
    if (section.rows.length === 0) lines.push("Nothing.");
    else lines.push(markdownRow(section.columns), markdownRow(section.columns.map(() => "---")));
    lines.push(...cellsOf(section).map((cells) => markdownRow(cells.map(inMarkdown))));
  }
  return `${lines.join("\n")}\n`;
}

/** Digests and signatures as code, so that they can be copied as they are. */
function factInMarkdown(value: string): string {
  return /^[\w:+/=-]{40,}$/.test(value) ? `\`${value}\`` : inMarkdown(value);
}

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** What would end a cell, or be taken for a mark or a tag. */
function inMarkdown(text: string): string {
  return safeText(text).replace(/[\\|`*_<>[\]]/g, (character) => `\\${character}`);
}

const STYLE =
  "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1d2430}" +
  "table{border-collapse:collapse;width:100%;margin:0 0 2rem}th,td{text-align:left;vertical-align:top;padding:.35rem .7rem;border-bottom:1px solid #d8dde6}" +
  "th{font-weight:600}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}";

function html({ title, facts, sections }: AuditReport): string {
  const parts = [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><title>${inHtml(title)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${inHtml(title)}</h1>`,
    `<dl>${facts.map(([name, value]) => `<dt>${inHtml(name)}</dt><dd>${inHtml(value)}</dd>`).join("")}</dl>`,
    ...sections.map(htmlSection),
    "</body></html>",
  ];
  return `${parts.join("\n")}\n`;
}

function htmlSection(section: ReportSection): string {
  const head = `<h2>${inHtml(section.title)}</h2>`;
  if (section.rows.length === 0) return `${head}\n<p>Nothing.</p>`;
  const heads = `<tr>${section.columns.map((column) => `<th>${column}</th>`).join("")}</tr>`;
  const rows = cellsOf(section).map((cells) => `<tr>${cells.map((cell) => `<td>${inHtml(cell)}</td>`).join("")}</tr>`);
  return `${head}\n<table><thead>${heads}</thead><tbody>\n${rows.join("\n")}\n</tbody></table>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function inHtml(text: string): string {
  return safeText(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** One table (RFC 4180): the section, then every column that any section has. */
function csv({ title, facts, sections }: AuditReport): string {
  const cells = (row: ReportRow): string[] => REPORT_COLUMNS.map((column) => row[column] ?? "");
  const lines = [
    ["section", ...REPORT_COLUMNS],
    ...[["report", title] as const, ...facts].map(([name, value]) => [name, ...cells({ change: value })]),
    ...sections.flatMap((section) => section.rows.map((row) => [section.title, ...cells(row)])),
  ];
  return lines.map((line) => `${line.map(inCsv).join(",")}\r\n`).join("");
}

/** Quoted; what a spreadsheet would take for a formula is made text. */
function inCsv(text: string): string {
  const safe = safeText(text);
  return `"${(/^[=+\-@\t\r]/.test(safe) ? `'${safe}` : safe).replaceAll('"', '""')}"`;
}

function cellsOf({ columns, rows }: ReportSection): string[][] {
  return rows.map((row) => columns.map((column: ReportColumn) => row[column] ?? ""));
}
