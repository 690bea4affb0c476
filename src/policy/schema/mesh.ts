/** What holds for the mesh as a whole. */

import { z } from "zod";
import { TRUST_DOMAIN } from "../names.ts";
import { accessDefault } from "./access-policy.ts";
import { mtlsMode } from "./mtls.ts";
import { certificateTtl, dnsLabel } from "./primitives.ts";

export const namespaceDefaults = z.strictObject({ mtls: mtlsMode.optional(), access: accessDefault.optional() });

export const meshSpec = z.strictObject({
  trustDomain: z.string().regex(TRUST_DOMAIN, "must be a SPIFFE trust domain: [a-z0-9.-_], at most 255 characters"),
  mtls: mtlsMode.optional(),
  access: accessDefault.optional(),
  /** What holds in single namespaces, in place of the above. */
  namespaces: z.record(dnsLabel, namespaceDefaults).optional(),
  /** How long certificates live, where a Service does not say. */
  certificateTtl: certificateTtl.optional(),
});

export type MeshSpec = z.infer<typeof meshSpec>;
