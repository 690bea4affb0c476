/** What holds for the mesh as a whole. */

import { z } from "zod";
import { TRUST_DOMAIN } from "../names.ts";
import { accessDefault } from "./access-policy.ts";
import { certificateTtl } from "./primitives.ts";

export const meshSpec = z.strictObject({
  trustDomain: z.string().regex(TRUST_DOMAIN, "must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters"),
  mtls: z.enum(["strict", "permissive", "disabled"]).optional(),
  access: accessDefault.optional(),
  /** How long certificates live, where a Service does not say. */
  certificateTtl: certificateTtl.optional(),
});

export type MeshSpec = z.infer<typeof meshSpec>;
export type MtlsMode = NonNullable<MeshSpec["mtls"]>;
