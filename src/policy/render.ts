/**
 * Documents as YAML for people, the inverse of parsing: short maps and lists in flow style, the rest in blocks, fields
 * in the order of the schema. Text that an older YAML would read as something else (`on`, `1.20`) is quoted.
 */

import { type PolicyDocument, policyDocument } from "./schema.ts";

/** Columns up to which a map or list is written on its field's own line. */
const INLINE_COLUMNS_MAX = 60;

/** Fields whose maps and lists are always written as blocks, so that a rule is a paragraph. */
const ALWAYS_BLOCKS: ReadonlySet<string> = new Set(["spec", "rules"]);

const PLAIN_TEXT = /^[A-Za-z0-9/][A-Za-z0-9_./*-]*$/;
/** Other types in YAML 1.1 or 1.2. */
const RESERVED = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/** A stream of YAML documents, with `---` between them. Parsing it gives the same documents. */
export function renderDocuments(documents: readonly PolicyDocument[]): string {
  return documents.map(renderDocument).join("---\n");
}

/** One document, ending in a newline. */
export function renderDocument(document: PolicyDocument): string {
  // Parsing puts the fields in the schema's order, whatever order a fold or a caller left them in.
  return `${blockMap(policyDocument.parse(document)).join("\n")}\n`;
}

/** Any plain value in flow style: `{ from: [shop/web], methods: [GET] }`. */
export function renderInline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(renderInline).join(", ")}]`;
  if (!isMap(value)) return renderScalar(value);
  const fields = fieldsOf(value).map(([name, field]) => `${renderName(name)}: ${renderInline(field)}`);
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`;
}

/** `retries.on` stays as people write it: names are always text to this parser. */
function renderName(name: string): string {
  return name === "on" ? name : renderScalar(name);
}

/** JSON is YAML, so whatever is not plainly text is written as JSON. */
function renderScalar(value: unknown): string {
  if (typeof value === "string" && PLAIN_TEXT.test(value) && !RESERVED.test(value)) {
    const numeric = /^[\d.-]+$/.test(value) || !Number.isNaN(Number(value));
    if (!numeric) return value;
  }
  return JSON.stringify(value);
}

function blockMap(map: object): string[] {
  return fieldsOf(map).flatMap(([name, value]) => {
    const key = `${renderName(name)}:`;
    if (!ALWAYS_BLOCKS.has(name) && fitsInline(value)) return [`${key} ${renderInline(value)}`];
    const lines = Array.isArray(value)
      ? blockList(value, ALWAYS_BLOCKS.has(name))
      : isMap(value)
        ? blockMap(value)
        : [];
    return lines.length === 0 ? [`${key} ${renderInline(value)}`] : [key, ...lines.map(indent)];
  });
}

function blockList(list: readonly unknown[], itemsAreBlocks: boolean): string[] {
  return list.flatMap((item) => {
    const [first, ...rest] = isMap(item) && (itemsAreBlocks || !fitsInline(item)) ? blockMap(item) : [];
    return first === undefined ? [`- ${renderInline(item)}`] : [`- ${first}`, ...rest.map(indent)];
  });
}

/** Scalars always do; maps and lists when they are short and hold no more than one map, whatever is inside that. */
function fitsInline(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  const maps = Object.values(value).filter(isMap);
  return maps.length <= 1 && renderInline(value).length <= INLINE_COLUMNS_MAX;
}

function indent(line: string): string {
  return `  ${line}`;
}

function isMap(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fieldsOf(map: object): [string, unknown][] {
  return Object.entries(map).filter(([, value]) => value !== undefined);
}
