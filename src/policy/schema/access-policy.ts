/** Who may call a service, and with what. */

import { z } from "zod";
import { absolutePath, dnsLabel, method } from "./primitives.ts";

/** `shop/web`, every service of a namespace `shop/*`, or every authenticated caller `*`. */
const principalPattern = z
  .string()
  .regex(
    /^(?:\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\/(?:\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?))$/,
    "must be namespace/service (such as shop/web), namespace/* or *",
  );

/** `/admin` exactly, or `/admin/*` for everything below it. */
const pathPattern = absolutePath.regex(
  /^[^*]*\*?$/,
  "must be a path such as /charge, or a prefix ending in * such as /admin/*",
);

const callers = z.strictObject({
  from: z.array(principalPattern).min(1).max(1024).optional(),
  methods: z.array(method).min(1).max(64).optional(),
  paths: z.array(pathPattern).min(1).max(1024).optional(),
});

export const accessRule = z.union([z.strictObject({ allow: callers }), z.strictObject({ deny: callers })], {
  error: "must be { allow: { from, methods, paths } } or { deny: { from, methods, paths } }",
});

export const accessPolicySpec = z.strictObject({ service: dnsLabel, rules: z.array(accessRule).min(1).max(1024) });

export type AccessRule = z.infer<typeof accessRule>;
export type Callers = z.infer<typeof callers>;
