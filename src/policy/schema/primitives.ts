/** The small types that every kind of document is made of. */

import { z } from "zod";
import { formatDuration, parseDuration } from "../duration.ts";
import { DNS_LABEL } from "../names.ts";

export const dnsLabel = z
  .string()
  .regex(DNS_LABEL, "must be a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters");

/** A duration such as `800ms`, `3s`, `1m30s`; canonicalised, so that `60s` equals `1m`. */
export const duration = z
  .string({ error: "must be a duration such as 800ms, 3s or 1m30s" })
  .transform((text, context) => {
    const durationMs = parseDuration(text);
    if (durationMs !== undefined && durationMs > 0) return formatDuration(durationMs);
    context.addIssue({ code: "custom", message: "must be a duration above zero, such as 800ms, 3s or 1m30s" });
    return z.NEVER;
  });

const CERTIFICATE_TTL_MIN_MS = 3_600_000;
const CERTIFICATE_TTL_MAX_MS = 90 * 24 * CERTIFICATE_TTL_MIN_MS;

/** How long a workload's certificate lives; it is renewed at half of it. */
export const certificateTtl = duration.refine(
  (text) => {
    const ttlMs = parseDuration(text) ?? 0;
    return ttlMs >= CERTIFICATE_TTL_MIN_MS && ttlMs <= CERTIFICATE_TTL_MAX_MS;
  },
  { error: "must be between 1h and 2160h (90 days)" },
);

export const positiveInteger = z.int().min(1).max(1_000_000_000);
export const percent = z.number().min(0).max(100);

/** HTTP token (RFC 9110 §5.6.2). */
const httpToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
export const method = z.string().regex(/^[A-Z][A-Z-]{0,31}$/, "must be an HTTP method in capitals, such as GET");

export const absolutePath = z.string().max(4096).startsWith("/", "must begin with /");

export const headerName = z
  .string()
  .regex(httpToken, "must be an HTTP header name")
  .max(256)
  .transform((name) => name.toLowerCase());

export const cookieName = z.string().regex(httpToken, "must be a cookie's name").max(256);
