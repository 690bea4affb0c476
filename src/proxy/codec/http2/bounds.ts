/**
 * Bounds of the HTTP/2 codec that are not a matter of configuration: fixed by the RFC, or against abuse. Those that
 * an operator may set are in `limits.ts`.
 */

/** Windows of a connection and of every stream before SETTINGS and WINDOW_UPDATE say otherwise (RFC 9113 §6.9.2). */
export const INITIAL_WINDOW_BYTES = 65_535;

/** No window may grow beyond this (RFC 9113 §6.9.1). */
export const WINDOW_BYTES_MAX = 0x7fff_ffff;

/** The highest stream identifier there is (RFC 9113 §5.1.1): after it a connection can open no more streams. */
export const STREAM_ID_MAX = 0x7fff_ffff;

/** Payload of one frame, both ways: the RFC's minimum (§4.2). Larger frames would only delay their neighbours. */
export const FRAME_BYTES_MAX = 16_384;

/** HPACK dynamic table, both ways: the RFC's default (RFC 9113 §6.5.2); 4 KiB hold all that repeats in a mesh. */
export const HEADER_TABLE_BYTES = 4096;

/**
 * CONTINUATION frames of one header block. Bytes are bounded as well, but a block in crumbs costs CPU without ever
 * reaching that bound (CVE-2024-27316).
 */
export const CONTINUATIONS_MAX = 32;

/** Parameters in one SETTINGS frame; there are ten registered, and each could cost a walk over all streams. */
export const SETTINGS_PER_FRAME_MAX = 32;

/** Streams that we assume a peer to allow until its SETTINGS tell (RFC 9113 §6.5.2 recommends at least 100). */
export const ASSUMED_CONCURRENT_STREAMS = 100;

/** Recently closed streams that are remembered, to tell a late frame from a violation (RFC 9113 §5.1). Power of 2. */
export const CLOSED_STREAMS_REMEMBERED = 512;

/** Bytes that a peer may still send into a connection that has ended before we tear it down. */
export const LINGER_BYTES_MAX = 1024 * 1024;

/** Body pieces up to this size are copied behind their frame header: one write, and cheaper than a write of its own. */
export const COPIED_PAYLOAD_BYTES_MAX = 4096;

/** The frame writer's memory per connection; also the most that is staged before it goes to the output. */
export const WRITE_SLAB_BYTES = 16 * 1024;

/**
 * A body piece smaller than this part of the chunk that it came in is copied out of it: otherwise a peer could make
 * one byte hold 64 KiB in memory for as long as its stream is paused.
 */
export const RETAINED_SHARE = 4;

/** What a peer may do sparingly, but not in floods. Each is an index into `NUISANCES`. */
export const Nuisance = {
  /** RST_STREAM for a request that we have not answered yet (CVE-2023-44487). */
  Reset: 0,
  /** A stream that we had to reset because of the peer (CVE-2025-8671, "MadeYouReset"). */
  StreamError: 1,
  /** PING, SETTINGS, PRIORITY and frames of unknown type: each costs us work, some an answer. */
  Control: 2,
  /** DATA, HEADERS or CONTINUATION without content (CVE-2019-9518). */
  EmptyFrame: 3,
  /** WINDOW_UPDATE: many small ones make us send crumbs (CVE-2019-9511). */
  WindowUpdate: 4,
  /** Frames for closed streams that cannot have been on their way when they closed, and streams after GOAWAY. */
  LateFrame: 5,
} as const;

export type NuisanceKind = (typeof Nuisance)[keyof typeof Nuisance];

/** `burst` at once and `perSecond` in the long run; useful work earns more (see `FloodGuard.earn`). */
export interface Allowance {
  readonly detail: string;
  readonly burst: number;
  readonly perSecond: number;
}

export const NUISANCES: readonly Allowance[] = [
  { detail: "rapid_reset", burst: 1000, perSecond: 100 },
  { detail: "stream_error_flood", burst: 200, perSecond: 20 },
  { detail: "control_frame_flood", burst: 1000, perSecond: 50 },
  { detail: "empty_frame_flood", burst: 200, perSecond: 20 },
  { detail: "window_update_flood", burst: 10_000, perSecond: 1000 },
  { detail: "late_frame_flood", burst: 1000, perSecond: 100 },
];

/** Callers whose aborts a peer passes on, where it is a sidecar and not a caller itself. */
const CALLERS_BEHIND_PEER = 50;
const PASSED_ON: ReadonlySet<number> = new Set([Nuisance.Reset, Nuisance.LateFrame]);

/**
 * What a peer may do that has proved to be a workload of the mesh. Its sidecar passes on the calls of thousands over
 * one connection, and when they all hang up at once, that is a load test at its end and no attack; to end the
 * connection would fail everybody else's calls. What a sidecar does of itself it may do no more often than others.
 */
export const VERIFIED_NUISANCES: readonly Allowance[] = NUISANCES.map((allowance, kind) => {
  const factor = PASSED_ON.has(kind) ? CALLERS_BEHIND_PEER : 1;
  return { ...allowance, burst: allowance.burst * factor, perSecond: allowance.perSecond * factor };
});

/** What one DATA frame that we send earns its receiver: an update of both windows, twice over. */
export const WINDOW_UPDATES_PER_DATA_FRAME = 4;

/** 1xx responses to one request: they could be repeated without end. */
export const INFORMATIONAL_MAX = 16;
