/** Where a rule comes from: a denial, an access log line and `explain` name it as `document[rule]@revision`. */

import { z } from "zod";

export const ruleOrigin = z.strictObject({
  /** `namespace/name` of the document. */
  document: z.string(),
  /** Index of the rule in the document. */
  rule: z.int().min(0),
  revision: z.int().min(0),
  actor: z.string(),
});

export type RuleOrigin = z.infer<typeof ruleOrigin>;

/** What decided about a request: a rule of a document, or what stands beside the rules and has a name. */
export type DecisionOrigin = Omit<RuleOrigin, "rule"> & { readonly rule: number | string };
