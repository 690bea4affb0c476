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
