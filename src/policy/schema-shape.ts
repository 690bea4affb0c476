/** What a schema says about itself: which fields it allows where, and how to describe what it wants. */

import { z } from "zod";
import type { DocumentPath } from "./remark.ts";

export type Schema = z.core.$ZodType;

/** The names that a map may use; of alternatives, those of all. Empty for what is no map of fixed fields. */
export function fieldsOf(schema: Schema | undefined): string[] {
  if (schema instanceof z.ZodOptional) return fieldsOf(schema.unwrap());
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(fieldsOf);
  return [];
}

/** The schema of the value at a path, without its `optional`; undefined where the path leaves the schema. */
export function schemaAt(schema: Schema, path: DocumentPath): Schema | undefined {
  let current: Schema | undefined = unwrap(schema);
  for (const step of path) {
    const inner: Schema | undefined = current === undefined ? undefined : stepInto(current, step);
    current = inner === undefined ? undefined : unwrap(inner);
  }
  return current;
}

/** What to write for a value that is missing, as an imperative; undefined when there is nothing more to say. */
export function describeWanted(schema: Schema | undefined): string | undefined {
  const fields = fieldsOf(schema);
  if (schema instanceof z.ZodUnion || schema === undefined) return undefined;
  if (fields.length > 0) return `write a map with ${fields.join(", ")}`;
  if (schema instanceof z.ZodEnum) return `write one of ${schema.options.join(", ")}`;
  if (schema instanceof z.ZodLiteral) return `write ${[...schema.values].join(" or ")}`;
  if (schema instanceof z.ZodArray) return "write a list";
  if (schema instanceof z.ZodRecord) return "write a map";
  if (schema instanceof z.ZodNumber) return "write a number";
  if (schema instanceof z.ZodBoolean) return "write true or false";
  // The empty text breaks every rule for texts, so that the schema itself tells the rule.
  const rule = z.safeParse(schema, "").error?.issues.find(({ message }) => isOwnMessage(message));
  return rule === undefined ? "write text" : `it ${rule.message}`;
}

/** The schemas' own messages are phrased as what a value "must be"; zod's are not. */
export function isOwnMessage(message: string): boolean {
  return message.startsWith("must ");
}

function stepInto(schema: Schema, step: string | number): Schema | undefined {
  if (schema instanceof z.ZodArray) return typeof step === "number" ? schema.element : undefined;
  if (schema instanceof z.ZodRecord) return schema.valueType;
  if (schema instanceof z.ZodUnion) {
    const meant = schema.options.find((option) => fieldsOf(option).includes(String(step)));
    return meant === undefined ? undefined : stepInto(meant, step);
  }
  if (!(schema instanceof z.ZodObject)) return undefined;
  const shape: Readonly<Record<string, Schema>> = schema.shape;
  return Object.hasOwn(shape, step) ? shape[step] : undefined;
}

function unwrap(schema: Schema): Schema {
  return schema instanceof z.ZodOptional ? schema.unwrap() : schema;
}
