/** Every bound of the data plane: its unit in the name, its reason in a sentence. Each can be overridden by option. */

export interface Limits {
  /** Request or response head, in bytes, start line included. nginx and Envoy stand near it (8 to 60 KiB). */
  readonly headBytesMax: number;
  /** Fields in a head or trailer section: a cheap way to burn CPU otherwise. */
  readonly headerCountMax: number;
  /** Request target in bytes: above it 414. */
  readonly targetBytesMax: number;
  /** One chunk-size line with its extensions (CVE-2023-39326: extensions carry any amount of nothing). */
  readonly chunkLineBytesMax: number;
  /** Trailer section in bytes. */
  readonly trailerBytesMax: number;
  /** TLS ClientHello that is read for its server name. One with post-quantum keys takes 2 KiB; Envoy's bound. */
  readonly clientHelloBytesMax: number;
  /** Bytes queued towards a peer above which the source is paused. */
  readonly writeHighWaterBytes: number;
  /** HTTP/2: window that we grant per stream; also what a stream may hold in memory. */
  readonly streamWindowBytes: number;
  /** HTTP/2: window that we grant per connection. */
  readonly connectionWindowBytes: number;
  /** HTTP/2: streams that a peer may have open at once. */
  readonly concurrentStreamsMax: number;
  /** Request body kept for a retry, per request; a larger body makes the request not replayable. */
  readonly replayBytesMax: number;
  /** Connections accepted at once per listener; above it they are closed at once. */
  readonly connectionsMax: number;
  /** Requests waiting for a connection to one upstream. */
  readonly pendingRequestsMax: number;
  /** TCP and TLS handshake towards an upstream. */
  readonly connectTimeoutMs: number;
  /** From the first byte of a head to its end (slowloris). */
  readonly headTimeoutMs: number;
  /**
   * How long a redirected connection to an unknown address may say nothing that tells its protocol; then its bytes are
   * carried as they are, or it is refused: where the server speaks first, both ends would wait for ever.
   */
  readonly protocolDetectionTimeoutMs: number;
  /** TLS handshake of a downstream. */
  readonly handshakeTimeoutMs: number;
  /** A downstream connection without any open request. */
  readonly idleTimeoutMs: number;
  /** A connection to a peer without any open request. */
  readonly upstreamIdleTimeoutMs: number;
  /**
   * One to the application. Below the shortest keep-alive that is common (Node's 5 s), so that it is we who close: a
   * request that meets the application's close on the wire is lost, and not every request may be sent twice.
   */
  readonly applicationIdleTimeoutMs: number;
  /** HTTP/2: from our SETTINGS to the peer's acknowledgement (RFC 9113 §6.5.3). */
  readonly settingsTimeoutMs: number;
  /** HTTP/2, towards peers and downstreams: a connection on which nothing came for this long is asked for an answer. */
  readonly keepAliveIntervalMs: number;
  /** How long that answer may take; then the other end is taken for dead, and its requests for lost. */
  readonly keepAliveTimeoutMs: number;
  /** No byte either way on an open stream. */
  readonly streamIdleTimeoutMs: number;
  /**
   * How long a request that was let in may go on after policy has changed so that it would be refused. Tunnels, which
   * have no end of their own, are cut at once.
   */
  readonly withdrawalGraceMs: number;
  /** HTTP/2: from a response that came early to the reset that calls off the rest of its request. */
  readonly earlyAnswerGraceMs: number;
  /** No byte either way on a tunnel (TCP, WebSocket): Envoy's hour. */
  readonly tunnelIdleTimeoutMs: number;
  /** From SIGTERM to the end, at most. */
  readonly drainTimeoutMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  headBytesMax: 64 * 1024,
  headerCountMax: 100,
  targetBytesMax: 16 * 1024,
  chunkLineBytesMax: 256,
  trailerBytesMax: 16 * 1024,
  clientHelloBytesMax: 16 * 1024,
  writeHighWaterBytes: 256 * 1024,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 4 * 1024 * 1024,
  concurrentStreamsMax: 256,
  replayBytesMax: 64 * 1024,
  connectionsMax: 20_000,
  pendingRequestsMax: 1024,
  connectTimeoutMs: 5_000,
  headTimeoutMs: 30_000,
  protocolDetectionTimeoutMs: 3_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 300_000,
  upstreamIdleTimeoutMs: 55_000,
  applicationIdleTimeoutMs: 4_000,
  settingsTimeoutMs: 10_000,
  keepAliveIntervalMs: 30_000,
  keepAliveTimeoutMs: 10_000,
  streamIdleTimeoutMs: 300_000,
  withdrawalGraceMs: 10_000,
  earlyAnswerGraceMs: 1_000,
  tunnelIdleTimeoutMs: 3_600_000,
  drainTimeoutMs: 30_000,
};
