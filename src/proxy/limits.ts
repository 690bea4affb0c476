/**
 * Every bound of the data plane: its unit in the name, its reason in a sentence, what becomes of whoever meets it, and
 * between which values it can be set (`heddle sidecar --limit`). docs/limits.md shows them.
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** One bound. `Ms` at the end of a name stands for milliseconds, `Bytes` in it for bytes, anything else for a count. */
export interface LimitRow {
  readonly value: number;
  /** What it may be set to. */
  readonly least: number;
  readonly most: number;
  /** What is bounded, and why so. */
  readonly what: string;
  /** What happens when it is met. */
  readonly hit: string;
}

function row(value: number, [least, most]: readonly [number, number], what: string, hit: string): LimitRow {
  return { value, least, most, what, hit };
}

/** In the order in which they are shown. */
export const LIMITS = {
  headBytesMax: row(
    64 * KIB,
    [KIB, 16 * MIB],
    "Request or response head, start line included; nginx and Envoy stand near it (8 to 60 KiB).",
    "431 DPE of a request, 502 UPE of a response",
  ),
  headerCountMax: row(
    100,
    [8, 10_000],
    "Fields in a head or trailer section: a cheap way to burn CPU otherwise.",
    "431 DPE of a request, 502 UPE of a response",
  ),
  targetBytesMax: row(16 * KIB, [128, MIB], "Request target.", "414 DPE"),
  chunkLineBytesMax: row(
    256,
    [16, 16 * KIB],
    "One chunk-size line with its extensions (CVE-2023-39326: they carry any amount of nothing).",
    "400 DPE",
  ),
  trailerBytesMax: row(16 * KIB, [128, MIB], "Trailer section.", "431 DPE"),
  clientHelloBytesMax: row(
    16 * KIB,
    [KIB, 64 * KIB],
    "TLS ClientHello that is read for its server name; one with post-quantum keys takes 2 KiB. Envoy's bound.",
    "TLS alert decode_error, DPE",
  ),
  writeHighWaterBytes: row(
    256 * KIB,
    [4 * KIB, 64 * MIB],
    "Bytes queued towards a peer above which the source is paused.",
    "the source waits",
  ),
  streamWindowBytes: row(
    256 * KIB,
    [KIB, 2 ** 31 - 1],
    "HTTP/2: window that is granted per stream; also what a stream may hold in memory.",
    "the sender waits; beyond it the stream is reset",
  ),
  connectionWindowBytes: row(
    4 * MIB,
    [64 * KIB, 2 ** 31 - 1],
    "HTTP/2: window that is granted per connection.",
    "the sender waits; beyond it GOAWAY",
  ),
  concurrentStreamsMax: row(
    256,
    [1, 100_000],
    "HTTP/2: streams that a peer may have open at once.",
    "the stream is refused (REFUSED_STREAM)",
  ),
  replayBytesMax: row(
    64 * KIB,
    [1, 64 * MIB],
    "Request body kept for a retry, per request.",
    "a larger body makes the request one that is not repeated",
  ),
  connectionsMax: row(
    20_000,
    [1, 1_000_000],
    "Connections accepted at once per listener.",
    "one more is closed at once",
  ),
  pendingRequestsMax: row(1024, [1, 1_000_000], "Requests waiting for a connection to one upstream.", "503 UO"),
  connectTimeoutMs: row(5 * SECOND, [1, HOUR], "TCP and TLS handshake towards an upstream.", "503 UF"),
  headTimeoutMs: row(
    30 * SECOND,
    [1, HOUR],
    "From the first byte of a head, or of an HTTP/2 preface, to its end (slowloris).",
    "408 DPE",
  ),
  protocolDetectionTimeoutMs: row(
    3 * SECOND,
    [1, HOUR],
    "How long a redirected connection to an unknown address may say nothing that tells its protocol: where the server speaks first, both ends would wait for ever.",
    "its bytes are carried as they are, or it is refused",
  ),
  handshakeTimeoutMs: row(10 * SECOND, [1, HOUR], "TLS handshake of a downstream.", "the connection is closed"),
  idleTimeoutMs: row(
    5 * MINUTE,
    [1, DAY],
    "A downstream connection without any open request.",
    "the connection is closed, HTTP/2 with GOAWAY",
  ),
  upstreamIdleTimeoutMs: row(
    55 * SECOND,
    [1, DAY],
    "A connection to a peer without any open request.",
    "the connection is closed",
  ),
  applicationIdleTimeoutMs: row(
    4 * SECOND,
    [1, DAY],
    "One to the application. Below the shortest keep-alive that is common (Node's 5 s), so that it is we who close: a request that meets the application's close on the wire is lost, and not every request may be sent twice.",
    "the connection is closed",
  ),
  settingsTimeoutMs: row(
    10 * SECOND,
    [1, HOUR],
    "HTTP/2: from our SETTINGS to the peer's acknowledgement (RFC 9113 §6.5.3).",
    "GOAWAY with SETTINGS_TIMEOUT",
  ),
  keepAliveIntervalMs: row(
    30 * SECOND,
    [1, DAY],
    "HTTP/2, towards peers and downstreams: how long a connection may be silent until it is asked for an answer.",
    "a PING is sent",
  ),
  keepAliveTimeoutMs: row(
    10 * SECOND,
    [1, HOUR],
    "How long that answer may take.",
    "the connection is closed; its requests end in 503 UC, or are repeated",
  ),
  streamIdleTimeoutMs: row(
    5 * MINUTE,
    [1, 30 * DAY],
    "No byte either way on an open stream.",
    "504 UT, or a reset where a response is under way",
  ),
  withdrawalGraceMs: row(
    10 * SECOND,
    [1, DAY],
    "How long a request that was let in may go on after policy has changed so that it would be refused. Tunnels, which have no end of their own, are cut at once.",
    "403 RBAC, or a reset where a response is under way",
  ),
  earlyAnswerGraceMs: row(
    SECOND,
    [1, HOUR],
    "HTTP/2: from a response that came early to the reset that calls off the rest of its request.",
    "the stream is reset with NO_ERROR",
  ),
  tunnelIdleTimeoutMs: row(
    HOUR,
    [1, 30 * DAY],
    "No byte either way on a tunnel (TCP, WebSocket): Envoy's hour.",
    "the tunnel is reset, UT",
  ),
  jwksRefetchMs: row(
    10 * SECOND,
    [1, HOUR],
    "Between two looks for a key of a token that is not known: anybody can send such tokens.",
    "401, as of an unknown key",
  ),
  drainTimeoutMs: row(
    30 * SECOND,
    [1, DAY],
    "From SIGTERM to the end, at most.",
    "503 LR, or a reset where a response or a tunnel is under way",
  ),
} as const satisfies Readonly<Record<string, LimitRow>>;

export type LimitName = keyof typeof LIMITS;

export type Limits = { readonly [name in LimitName]: number };

/** Told of every connection that is closed because it met a bound. */
export type LimitMet = (limit: LimitName) => void;

/** `head-timeout` for `headTimeoutMs`: what users call a limit. */
export function limitOption(name: LimitName): string {
  return name.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export const LIMIT_NAMES = Object.keys(LIMITS) as readonly LimitName[];

export const DEFAULT_LIMITS = Object.fromEntries(LIMIT_NAMES.map((name) => [name, LIMITS[name].value])) as Limits;
