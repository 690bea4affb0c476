/** Which requests a rule is about: shared by routes and rate limits. */

import { z } from "zod";
import { absolutePath, headerName, method } from "./primitives.ts";

/** How one string is compared; exactly one key. */
const stringMatch = z.union(
  [
    z.strictObject({ exact: z.string().max(4096) }),
    z.strictObject({ prefix: z.string().min(1).max(4096) }),
    z.strictObject({ present: z.boolean() }),
  ],
  { error: "must be one of { exact: text }, { prefix: text } or { present: true|false }" },
);

const pathMatch = z.union([z.strictObject({ exact: absolutePath }), z.strictObject({ prefix: absolutePath })], {
  error: "must be { exact: /path } or { prefix: /path }",
});

/** All fields of one match hold together; the matches of a rule are alternatives. */
export const requestMatch = z.strictObject({
  path: pathMatch.optional(),
  methods: z.array(method).min(1).max(64).optional(),
  headers: z.record(headerName, stringMatch).optional(),
});

export type RequestMatch = z.infer<typeof requestMatch>;
