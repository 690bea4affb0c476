/** Which requests a rule is about: shared by routes and rate limits. */

import { z } from "zod";
import { parseRegex } from "../regex.ts";
import { grpcMethods, pathPattern, principalPattern } from "./access-policy.ts";
import { absolutePath, cookieName, headerName, method } from "./primitives.ts";

const text = z.string().max(4096);
const someText = text.min(1);

/** Of the whole text, and in linear time: see `regex.ts`. */
const regex = z
  .string()
  .min(1)
  .max(1024)
  .superRefine((pattern, context) => {
    const program = parseRegex(pattern);
    if (!program.ok) context.addIssue({ code: "custom", message: `must be a regular expression: ${program.error}` });
  });

const COMPARISONS = [
  z.strictObject({ exact: text }),
  z.strictObject({ prefix: someText }),
  z.strictObject({ suffix: someText }),
  z.strictObject({ contains: someText }),
  z.strictObject({ regex }),
  z.strictObject({ present: z.boolean() }),
] as const;

const COMPARISON_WANTED =
  "must be one of { exact }, { prefix }, { suffix }, { contains } or { regex } with a text, { present: true|false }, or { not } with one of these";

/** How one string is compared; exactly one key. */
const stringMatch = z.union(
  [...COMPARISONS, z.strictObject({ not: z.union([...COMPARISONS], { error: COMPARISON_WANTED }) })],
  { error: COMPARISON_WANTED },
);

const pathMatch = z.union(
  [
    z.strictObject({ exact: absolutePath }),
    z.strictObject({ prefix: absolutePath }),
    z.strictObject({ regex }),
    z.strictObject({ template: pathPattern }),
  ],
  { error: "must be { exact: /path }, { prefix: /path }, { template: /path/{name} } or { regex: … }" },
);

const fields = <K extends z.ZodType<string, string>>(name: K) =>
  z.record(name, stringMatch).refine((entries) => Object.keys(entries).length <= 64, {
    error: "must name at most 64",
  });

/** All fields of one match hold together; the matches of a rule are alternatives. */
export const requestMatch = z.strictObject({
  path: pathMatch.optional(),
  methods: z.array(method).min(1).max(64).optional(),
  headers: fields(headerName).optional(),
  /** Parameters of the query, decoded; of a repeated one the first. */
  query: fields(z.string().min(1).max(256)).optional(),
  cookies: fields(cookieName).optional(),
  grpc: z.array(grpcMethods).min(1).max(256).optional(),
});

/** A route also asks who makes the call, and which port of the service is called. */
export const routeMatch = requestMatch.extend({
  /** Callers, as access rules write them. */
  from: z.array(principalPattern).min(1).max(1024).optional(),
  /** Labels that the caller's instance bears. */
  fromLabels: z.record(z.string().min(1).max(63), z.string().max(253)).optional(),
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(64).optional(),
});

export type RequestMatch = z.infer<typeof requestMatch>;
export type RouteMatch = z.infer<typeof routeMatch>;
export type StringMatch = z.infer<typeof stringMatch>;
