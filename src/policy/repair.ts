/**
 * Proposals for what somebody meant to write. Nothing here knows which field it is about: each proposal is put to the
 * field's own schema, and only what the schema accepts is ever shown: nobody is told to write what would be refused in turn.
 */

import { z } from "zod";
import { formatDuration } from "./duration.ts";
import { nearest } from "./nearest.ts";
import { renderInline } from "./render.ts";
import { fieldsOf, type Schema, schemaAt } from "./schema-shape.ts";

/** Longer proposals would be harder to read than the message that they belong to. */
const SHOWN_MAX = 72;

/** More would be a list to choose from, and no advice. */
const PROPOSALS_MAX = 2;

/** Units as people write them, with the milliseconds in each. */
const UNITS: readonly (readonly [RegExp, number])[] = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/i, 1],
  [/^(?:s|secs?|seconds?)$/i, 1_000],
  [/^(?:m|mins?|minutes?)$/i, 60_000],
  [/^(?:h|hrs?|hours?)$/i, 3_600_000],
  [/^(?:d|days?)$/i, 86_400_000],
];

/** What to write instead of `value` so that `schema` accepts it; undefined when nothing comes to mind. */
export function proposeRepair(schema: Schema, value: unknown): string | undefined {
  const texts = repairs(schema, value).slice(0, PROPOSALS_MAX).map(renderInline);
  return texts.length === 0 || texts.some((text) => text.length > SHOWN_MAX)
    ? undefined
    : `write ${texts.join(" or ")}`;
}

/** The value itself where it is good, otherwise what it may have meant. */
function repairs(schema: Schema, value: unknown): unknown[] {
  const accepted = (proposal: unknown): boolean => z.safeParse(schema, proposal).success;
  if (accepted(value)) return [value];
  if (schema instanceof z.ZodOptional) return repairs(schema.unwrap(), value);
  // Never from an empty map: `allow: {}` is not a thing to propose.
  if (schema instanceof z.ZodUnion && typeof value === "object") return [];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => wrap(option, value));
  if (schema instanceof z.ZodArray) return repairs(schema.element, value).map((item) => [item]);
  if (schema instanceof z.ZodLiteral) return [...schema.values];
  if (schema instanceof z.ZodEnum) return nearestOption(schema.options, value);
  if (typeof value === "string") return fromText(value).filter(accepted).slice(0, 1);
  if (typeof value !== "number" && typeof value !== "boolean") return [];
  const [text] = fromText(String(value)).filter(accepted);
  if (text !== undefined) return [text];
  return [readLooseDuration(`${value}s`), readLooseDuration(`${value}ms`)].filter(accepted);
}

/** The value as the one field of an alternative that has but one: `/charge` for `{ prefix: /charge }`. */
function wrap(option: Schema, value: unknown): object[] {
  const [field, ...others] = fieldsOf(option);
  if (field === undefined || others.length > 0) return [];
  const inner = schemaAt(option, [field]);
  return inner === undefined ? [] : repairs(inner, value).map((repaired) => ({ [field]: repaired }));
}

function nearestOption(options: readonly unknown[], value: unknown): string[] {
  if (typeof value !== "string") return [];
  const names = options.filter((option) => typeof option === "string");
  return [nearest(value, names)].filter((name) => name !== undefined);
}

/** From the likeliest on; names come before durations, which a name could be as well. */
function fromText(text: string): unknown[] {
  const trimmed = text.trim();
  const label = trimmed.toLowerCase().replace(/[ _.]+/g, "-");
  const identity = /\/?ns\/([^/]+)\/sa\/([^/]+)$/.exec(trimmed);
  const proposals: unknown[] = [
    trimmed,
    trimmed.toLowerCase(),
    label.replace(/^-+|-+$/g, ""),
    trimmed.toUpperCase(),
    `/${trimmed}`,
    trimmed.replace(/^https?:\/\//i, "").replace(/\/+$/, ""),
    trimmed.replace(/\/+$/, ""),
  ];
  if (/^[a-z0-9-]+\./i.test(trimmed)) proposals.push(`https://${trimmed}`);
  if (identity !== null) proposals.unshift(`${identity[1]}/${identity[2]}`);
  if (/^[\d.]+%?$/.test(trimmed)) proposals.push(Number(trimmed.replace("%", "")));
  if (/^(?:true|yes|on)$/i.test(trimmed)) proposals.push(true);
  if (/^(?:false|no|off)$/i.test(trimmed)) proposals.push(false);
  const duration = readLooseDuration(trimmed);
  if (duration !== undefined) proposals.push(duration);
  return proposals;
}

/** `3 sec`, `1.5 minutes`, `2 days`: what people write for durations elsewhere. */
function readLooseDuration(text: string): string | undefined {
  const parts = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text);
  const [, count = "", word = ""] = parts ?? [];
  const unitMs = UNITS.find(([pattern]) => pattern.test(word))?.[1] ?? 0;
  const durationMs = Number(count) * unitMs;
  return Number.isSafeInteger(durationMs) && durationMs > 0 ? formatDuration(durationMs) : undefined;
}
