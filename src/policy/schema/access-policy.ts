/** Who may call a service, and with what. */

import { z } from "zod";
import { isIpBlock } from "../ip-block.ts";
import { absolutePath, dnsLabel, headerName, method } from "./primitives.ts";

/**
 * `shop/web`, every service of a namespace `shop/*`, every authenticated caller `*`, a caller without an identity
 * `none`, and for identities of federated trust domains their SPIFFE ID, or the beginning of one: `spiffe://other/*`.
 */
export const principalPattern = z
  .string()
  .max(2048)
  .regex(
    /^(?:\*|none|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\/(?:\*|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)|spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[a-zA-Z0-9._-]+)*(?:\/\*|\/[a-zA-Z0-9._-]+))$/,
    "must be namespace/service (such as shop/web), namespace/*, *, none or a SPIFFE ID (addresses go into ipBlocks)",
  );

const ipBlock = z
  .string()
  .max(64)
  .refine(isIpBlock, "must be an address or a range of addresses, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32");

/**
 * `/admin` exactly; `/admin/*` for everything that begins so. `*` before the end stands for a part of a segment, `**`
 * for any number of whole segments, `{name}` for exactly one.
 */
export const pathPattern = absolutePath.regex(
  /^(?:[^*]*\*?|(?=.{1,256}$)(?:\/(?:\*\*(?=\/|$)|[^*/]*(?:\*[^*/]+)*\*?(?=\/|$)))+)$/,
  "must be a path such as /charge, /admin/*, /files/*.json, /users/{id}/orders or /**/health (at most 256 characters with wildcards)",
);

/** How the value of a header is compared; exactly one key. */
const headerMatch = z.union(
  [
    z.strictObject({ exact: z.string().max(4096) }),
    z.strictObject({ prefix: z.string().min(1).max(4096) }),
    z.strictObject({ suffix: z.string().min(1).max(4096) }),
    z.strictObject({ contains: z.string().min(1).max(4096) }),
    z.strictObject({ present: z.boolean() }),
  ],
  { error: "must be one of { exact }, { prefix }, { suffix }, { contains } with a text, or { present: true|false }" },
);

const headerMatches = z.record(headerName, headerMatch).refine((headers) => Object.keys(headers).length <= 64, {
  error: "must name at most 64 headers",
});

/** A host name, or `*.` and the rest of one. */
const serverName = z
  .string()
  .max(255)
  .regex(
    /^(?:\*\.)?[a-zA-Z0-9_](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?$/,
    "must be a server name such as pay.example.org or *.example.org",
  )
  .transform((name) => name.toLowerCase());

export const grpcMethods = z.strictObject({
  service: z
    .string()
    .max(1024)
    .regex(
      /^(?:[A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*(?:\.\*)?)$/,
      "must be a full gRPC service name such as shop.v1.Payment, or a package such as shop.v1.*",
    ),
  methods: z
    .array(z.string().regex(/^[A-Za-z_]\w{0,255}$/, "must be a gRPC method such as Charge"))
    .min(1)
    .max(256)
    .optional(),
});

const claimName = z.string().min(1).max(256);
const claimValues = z.array(z.string().min(1).max(1024)).min(1).max(256);

/** What a validated end-user token says. A value may end in `*`; `*` alone is any value. */
const claimCondition = z
  .strictObject({
    /** The claim's name; a list of names leads into a claim that is an object. */
    claim: z.union([claimName, z.array(claimName).min(1).max(8)], {
      error: "must be a claim's name or a list of names",
    }),
    values: claimValues.optional(),
    notValues: claimValues.optional(),
  })
  .refine(({ values, notValues }) => values !== undefined || notValues !== undefined, {
    path: ["values"],
    error: "must say which values the claim has, unless notValues says which it has not",
  });

/** All fields that are there hold together; the items of one field are alternatives. */
export const accessConditions = z.strictObject({
  from: z.array(principalPattern).min(1).max(1024).optional(),
  notFrom: z.array(principalPattern).min(1).max(1024).optional(),
  /** Of the connection: the caller's sidecar, or the caller itself where it has none. */
  ipBlocks: z.array(ipBlock).min(1).max(1024).optional(),
  notIpBlocks: z.array(ipBlock).min(1).max(1024).optional(),
  methods: z.array(method).min(1).max(64).optional(),
  notMethods: z.array(method).min(1).max(64).optional(),
  paths: z.array(pathPattern).min(1).max(1024).optional(),
  notPaths: z.array(pathPattern).min(1).max(1024).optional(),
  ports: z.array(z.int().min(1).max(65_535)).min(1).max(64).optional(),
  notPorts: z.array(z.int().min(1).max(65_535)).min(1).max(64).optional(),
  headers: headerMatches.optional(),
  notHeaders: headerMatches.optional(),
  sni: z.array(serverName).min(1).max(256).optional(),
  notSni: z.array(serverName).min(1).max(256).optional(),
  grpc: z.array(grpcMethods).min(1).max(256).optional(),
  notGrpc: z.array(grpcMethods).min(1).max(256).optional(),
  when: z.array(claimCondition).min(1).max(64).optional(),
});

/** `audit` decides nothing: it counts and logs what it matches. */
export const ACCESS_ACTIONS = ["allow", "deny", "audit"] as const;

export const accessRule = z.union(
  [
    z.strictObject({ allow: accessConditions }),
    z.strictObject({ deny: accessConditions }),
    z.strictObject({ audit: accessConditions }),
  ],
  { error: "must be { allow: { from, methods, paths, … } }, or deny or audit in place of allow" },
);

export const accessDefault = z.enum(["deny", "allow"]);

export const accessPolicySpec = z.strictObject({
  service: dnsLabel,
  /** What happens to calls of the service that no rule speaks of; absent: what the namespace or the mesh says. */
  default: accessDefault.optional(),
  /** The policy decides nothing: what would change if it did is counted and logged. */
  dryRun: z.boolean().optional(),
  rules: z.array(accessRule).min(1).max(1024),
});

export type AccessDefault = z.infer<typeof accessDefault>;
export type AccessPolicySpec = z.infer<typeof accessPolicySpec>;
export type AccessRule = z.infer<typeof accessRule>;
export type AccessConditions = z.infer<typeof accessConditions>;
export type AccessAction = (typeof ACCESS_ACTIONS)[number];
export type GrpcMethods = z.infer<typeof grpcMethods>;
export type HeaderMatch = z.infer<typeof headerMatch>;
export type ClaimCondition = z.infer<typeof claimCondition>;

/** A rule, taken apart. */
export function partsOf(rule: AccessRule): { readonly action: AccessAction; readonly conditions: AccessConditions } {
  if ("allow" in rule) return { action: "allow", conditions: rule.allow };
  if ("deny" in rule) return { action: "deny", conditions: rule.deny };
  return { action: "audit", conditions: rule.audit };
}
