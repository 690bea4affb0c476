/** Tokens of end users that a service validates: JSON Web Tokens (RFC 7519) signed with public-key algorithms. */

import { z } from "zod";
import { parseDuration } from "../duration.ts";
import { duration, headerName } from "./primitives.ts";

/**
 * Signatures alone (RFC 7518 §3.1, RFC 8037 §3.1): no `none`, and no HS*, for which whoever verifies could also sign,
 * and which would take a public key for a secret.
 */
export const JWT_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

const CLOCK_SKEW_MS_MAX = 5 * 60_000;
const PROVIDERS_MAX = 8;
const KEYS_MAX = 64;

const base64url = z
  .string()
  .max(2048)
  .regex(/^[A-Za-z0-9_-]+$/, "must be base64url");

/** A public key (RFC 7517 §4). Private parts are unknown fields, and so refused. */
const publicKey = z.strictObject({
  kty: z.enum(["RSA", "EC", "OKP"]),
  kid: z.string().min(1).max(256).optional(),
  alg: z.enum(JWT_ALGORITHMS).optional(),
  use: z.literal("sig").optional(),
  key_ops: z.array(z.string()).max(8).optional(),
  n: base64url.optional(),
  e: base64url.optional(),
  crv: z.string().max(32).optional(),
  x: base64url.optional(),
  y: base64url.optional(),
  x5c: z.array(z.string().max(8192)).max(8).optional(),
  x5t: z.string().max(256).optional(),
  "x5t#S256": z.string().max(256).optional(),
});

/** Fields that are somebody else's to set: those of the connection, of the message, and what the mesh itself says. */
const TAKEN_HEADERS =
  /^(?:host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-.*|authorization|cookie|date|expect|proxy-.*|x-forwarded-.*|x-heddle-.*|x-envoy-.*|x-request-id|traceparent|tracestate|grpc-.*)$/;

const claimHeader = headerName.refine((name) => !TAKEN_HEADERS.test(name), "must be a header that nothing else sets");

const provider = z
  .strictObject({
    /** `iss` of its tokens, exactly. */
    issuer: z.string().min(1).max(1024),
    /** One of them must be in `aud`: a token for another service is none for this one. */
    audiences: z.array(z.string().min(1).max(1024)).min(1).max(64),
    /** Where its keys are. */
    jwksUri: z
      .string()
      .max(2048)
      .refine(isFetchable, "must be an https:// or http:// address without a user in it")
      .optional(),
    /** Its keys. */
    jwks: z.strictObject({ keys: z.array(publicKey).min(1).max(KEYS_MAX) }).optional(),
    /** Absent: all that can be verified with a public key. */
    algorithms: z.array(z.enum(JWT_ALGORITHMS)).min(1).optional(),
    /** How far its clock may be off. */
    clockSkew: duration
      .refine((text) => (parseDuration(text) ?? 0) <= CLOCK_SKEW_MS_MAX, "must be at most 5m")
      .optional(),
    /** The application gets the token as well; absent: it is taken away once it is validated. */
    forward: z.boolean().optional(),
    /** Headers in which the application gets claims: texts, numbers and truth values. */
    claimHeaders: z.record(claimHeader, z.string().min(1).max(256)).optional(),
  })
  .refine(({ jwks, jwksUri }) => (jwks === undefined) !== (jwksUri === undefined), {
    path: ["jwksUri"],
    error: "must be given, or jwks in its place, and not both",
  });

export const jwtSpec = z.strictObject({
  /** Requests without a token are refused; absent: a token is validated where there is one. */
  required: z.boolean().optional(),
  providers: z.array(provider).min(1).max(PROVIDERS_MAX),
});

export type JwtSpec = z.infer<typeof jwtSpec>;

function isFetchable(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
