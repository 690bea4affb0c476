/** What a route rule does to requests and responses on their way. */

import { z } from "zod";
import { parseDuration } from "../duration.ts";
import { byRank, PERCENTILE_NAME } from "../percentiles.ts";
import { otherService } from "./load-balancer.ts";
import { absolutePath, dnsLabel, duration, headerName, method, percent, positiveInteger } from "./primitives.ts";

/** Framing (RFC 9112), hop-by-hop fields (RFC 9110 §7.6.1), and what only the mesh may say. */
const UNTOUCHABLE =
  /^(?:host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|x-forwarded-.*|x-heddle-.*|x-envoy-.*|x-request-id|grpc-.*)$/;

const changeableHeader = headerName.refine((name) => !UNTOUCHABLE.test(name), {
  error: ({ input }) =>
    input === "host"
      ? "must not be host, by which requests are routed: rewrite: { host: … } is for that"
      : "must not be a header that frames the message or that only the mesh sets",
});

const headerText = z
  .string()
  .max(4096)
  .regex(
    /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/,
    "must be one line without spaces around it",
  );

const changes = z.strictObject({
  /** In place of whatever is there. */
  set: z.record(changeableHeader, headerText).optional(),
  /** Beside whatever is there. */
  add: z.record(changeableHeader, headerText).optional(),
  remove: z.array(changeableHeader).min(1).max(64).optional(),
});

export const headerChanges = z.strictObject({ request: changes.optional(), response: changes.optional() });

const authority = z
  .string()
  .max(261)
  .regex(
    /^[a-z0-9](?:[a-z0-9.-]{0,253}[a-z0-9])?(?::\d{1,5})?$/,
    "must be a host in lower case, such as catalog.shop or example.org:8080",
  );

/** `path` is the whole new path, `prefix` what stands for the prefix that matched; the query stays. */
const onePathChange = {
  check: ({ path, prefix }: { path?: string | undefined; prefix?: string | undefined }) =>
    path === undefined || prefix === undefined,
  error: "must have path or prefix, not both",
};

export const rewrite = z
  .strictObject({ host: authority.optional(), path: absolutePath.optional(), prefix: absolutePath.optional() })
  .refine(onePathChange.check, { error: onePathChange.error });

export const redirect = z
  .strictObject({
    scheme: z.enum(["http", "https"]).optional(),
    /** With a port, where it is not the scheme's own. */
    host: authority.optional(),
    path: absolutePath.optional(),
    prefix: absolutePath.optional(),
    status: z
      .union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)], {
        error: "must be 301, 302, 303, 307 or 308",
      })
      .optional(),
  })
  .refine(onePathChange.check, { error: onePathChange.error });

export const respond = z.strictObject({
  status: z.int().min(200).max(599),
  body: z.string().max(16_384).optional(),
  contentType: headerText.optional(),
});

const origin = z
  .string()
  .max(255)
  .regex(
    /^(?:\*|https?:\/\/(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?)$/,
    "must be an origin such as https://example.org, https://*.example.org or *",
  );

/** What scripts of other origins may do (Fetch standard, "CORS protocol"). */
export const cors = z.strictObject({
  origins: z.array(origin).min(1).max(64),
  methods: z.array(method).min(1).max(64).optional(),
  headers: z.array(headerName).min(1).max(64).optional(),
  exposeHeaders: z.array(headerName).min(1).max(64).optional(),
  credentials: z.boolean().optional(),
  maxAge: duration.optional(),
});

/** A copy of requests, whose response nobody waits for. */
export const mirror = z.strictObject({
  service: otherService.optional(),
  subset: dnsLabel.optional(),
  /** 100 where it is absent. */
  percent: percent.optional(),
});

const share = percent.optional();

/** More say no more. */
const PERCENTILES_MAX = 16;

/** Such as `{ p50: 10ms, p99: 500ms }`: half of the requests wait at most 10 ms, one in a hundred waits 500 ms. */
const percentiles = z
  .record(z.string().regex(PERCENTILE_NAME, "must be a percentile such as p50 or p99.9"), duration)
  .refine((named) => Object.keys(named).length > 0 && Object.keys(named).length <= PERCENTILES_MAX, {
    error: `must name 1 to ${PERCENTILES_MAX} percentiles`,
  })
  .refine((named) => rises(byRank(named).map(({ value }) => parseDuration(value) ?? 0)), {
    error: "must not become shorter from one percentile to the next",
  });

function rises(values: readonly number[]): boolean {
  return values.every((value, at) => value >= (values[at - 1] ?? 0));
}

/** Failures on purpose; each by a draw of its own. */
export const fault = z.strictObject({
  delay: z
    .strictObject({ fixed: duration.optional(), percentiles: percentiles.optional(), percent: share })
    .refine(({ fixed, percentiles }) => (fixed === undefined) !== (percentiles === undefined), {
      error: "must have exactly one of fixed and percentiles",
    })
    .optional(),
  /** Bodies go no faster than that, each by itself. */
  bandwidth: z
    .strictObject({
      bytesPerSecond: positiveInteger,
      /** Both where it is absent. */
      direction: z.enum(["request", "response"]).optional(),
      percent: share,
    })
    .optional(),
  abort: z
    .strictObject({
      status: z.int().min(200).max(599).optional(),
      grpcStatus: z.int().min(1).max(16).optional(),
      /** The connection ends, or the stream is reset, without a response. */
      reset: z.literal(true).optional(),
      percent: share,
    })
    .refine(
      ({ status, grpcStatus, reset }) => [status, grpcStatus, reset].filter((kind) => kind !== undefined).length === 1,
      { error: "must have exactly one of status, grpcStatus and reset" },
    )
    .optional(),
});

export type HeaderChanges = z.infer<typeof headerChanges>;
