/** Turns what zod found wrong with a document into sentences for the person who wrote it. */

import { z } from "zod";
import { nearest } from "./nearest.ts";
import type { DocumentPath } from "./remark.ts";
import { proposeRepair } from "./repair.ts";
import { err, ok, type Result } from "./result.ts";
import { describeWanted, fieldsOf, isOwnMessage, type Schema, schemaAt } from "./schema-shape.ts";

/** Something wrong at one path of one document. */
export interface Complaint {
  readonly path: DocumentPath;
  /** The name of the field is at fault, not its value. */
  readonly atKey: boolean;
  readonly message: string;
  readonly hint?: string;
}

type Issue = z.core.$ZodIssue;

/** How zod's type names are said. */
const NOUNS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  record: "a map",
};

/** Values are quoted up to this length. */
const SHOWN_MAX = 40;

/** Holds a value against a schema: the canonical value, or everything that is wrong with it. */
export function validate<T>(schema: z.core.$ZodType<T>, value: unknown): Result<T, Complaint[]> {
  const result = z.safeParse(schema, value);
  const complaints = result.success
    ? findLostFields(value, result.data, [])
    : result.error.issues.flatMap((issue) => explain(issue, schema, value, []));
  return result.success && complaints.length === 0 ? ok(result.data) : err(complaints);
}

/** Names that are one name in canonical form (`X-User`, `x-user`): of their values only the last would be kept. */
function findLostFields(written: unknown, canonical: unknown, path: DocumentPath): Complaint[] {
  if (typeof written !== "object" || written === null || typeof canonical !== "object" || canonical === null) return [];
  const names = Object.keys(written);
  if (names.length > Object.keys(canonical).length) {
    const twice = names.filter((name) => names.some((other) => other !== name && isSameHeader(other, name)));
    return [complain(path, `${twice.join(" and ")} are the same name`, "keep one of them")];
  }
  return names.flatMap((name) => {
    const step = Array.isArray(written) ? Number(name) : name;
    return findLostFields(Reflect.get(written, name), Reflect.get(canonical, name), [...path, step]);
  });
}

function isSameHeader(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}

/** `base` leads to `value`, which `schema` describes; the path of the issue goes on from there. */
function explain(issue: Issue, schema: Schema, value: unknown, base: DocumentPath): Complaint[] {
  const steps = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  const path = [...base, ...steps];
  const at = valueAt(value, steps);
  const expected = schemaAt(schema, steps);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((field) => unknownField(field, path, fieldsOf(expected)));
  }
  if (issue.code === "invalid_key") {
    const rule = issue.issues[0]?.message ?? issue.message;
    return [complain(path, `\`${steps.at(-1)}\` cannot be a name here: it ${rule}`, undefined, true)];
  }
  if (at === undefined) return [complain(path, "is missing", describeWanted(expected))];
  if (at === null) return [complain(path, "has no value", describeWanted(expected))];
  if (issue.code === "invalid_union" && expected instanceof z.ZodUnion) {
    return explainUnion(issue, expected.options, at, path) ?? [mismatch(issue, expected, at, path)];
  }
  return [mismatch(issue, expected, at, path)];
}

/**
 * Alternatives are told apart by their fields: the one whose field was written is the one that was meant, and only
 * what is wrong with that one is of interest. Undefined when the fields do not tell.
 */
function explainUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  options: readonly Schema[],
  value: unknown,
  path: DocumentPath,
): Complaint[] | undefined {
  const written = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const meant = options.flatMap((option, index) => {
    const fields = fieldsOf(option).filter((field) => written.includes(field));
    return fields.length === 0 ? [] : [{ option, fields, issues: issue.errors[index] ?? [] }];
  });
  const [first, second] = meant;
  if (first !== undefined && second !== undefined) {
    const together = meant.flatMap(({ fields }) => fields).join(" and ");
    return [complain(path, `has ${together} at once`, "keep exactly one of them")];
  }
  if (first !== undefined) return first.issues.flatMap((inner) => explain(inner, first.option, value, path));
  if (written.length === 0) return undefined;
  const known = options.flatMap(fieldsOf);
  const homes = options.flatMap((option) =>
    fieldsOf(option).filter((field) => {
      const inner = fieldsOf(schemaAt(option, [field]));
      return written.every((name) => inner.includes(name));
    }),
  );
  if (homes.length === 0) return written.map((field) => unknownField(field, path, known));
  return [complain(path, issue.message, `put ${written.join(", ")} under ${homes.join(" or ")}`)];
}

function unknownField(field: string, path: DocumentPath, known: readonly string[]): Complaint {
  const meant = nearest(field, known);
  const advice = meant === undefined ? "" : `did you mean ${meant}? `;
  return complain([...path, field], `unknown field \`${field}\``, `${advice}allowed here: ${known.join(", ")}`, true);
}

/** A value that is there and not what the schema wants. */
function mismatch(issue: Issue, expected: Schema | undefined, value: unknown, path: DocumentPath): Complaint {
  if (isEmpty(value)) return complain(path, "must not be empty", undefined);
  const must = isOwnMessage(issue.message) ? issue.message : requirement(issue);
  // Fields that contradict one another: each of them is what it must be.
  if (issue.code === "custom" && typeof value === "object") return complain(path, must, undefined);
  const message = typeof value === "object" ? `${must}, not ${kindOf(value)}` : `${quote(value)} ${must}`;
  if (expected === undefined) return complain(path, message, undefined);
  const fields = fieldsOf(expected).length > 0 ? describeWanted(expected) : undefined;
  return complain(path, message, proposeRepair(expected, value) ?? fields);
}

/** What zod's own issues ask for, as "must …". */
function requirement(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${NOUNS[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `must be at least ${issue.minimum}`;
    case "too_big":
      if (issue.origin === "string") return `must have at most ${issue.maximum} characters`;
      if (issue.origin === "array") return `must have at most ${issue.maximum} entries`;
      return `must be at most ${issue.maximum}`;
    default:
      return `is refused: ${issue.message}`;
  }
}

/** Every lower bound of the schemas' lists and texts is one. */
function isEmpty(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

function kindOf(value: object | null): string {
  return Array.isArray(value) ? `a list of ${value.length}` : "a map";
}

function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
}

function valueAt(value: unknown, path: DocumentPath): unknown {
  let current = value;
  for (const step of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, step)) return undefined;
    current = Reflect.get(current, step);
  }
  return current;
}

function complain(path: DocumentPath, message: string, hint: string | undefined, atKey = false): Complaint {
  return { path, atKey, message, ...(hint !== undefined && { hint }) };
}
