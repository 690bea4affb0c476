/** What a load generator is asked for, and what it found. */

export interface LoadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  /** See `Scenario`. Only for HTTP/1.1. */
  readonly varied?: boolean | undefined;
}

export interface LoadResult {
  readonly requests: number;
  readonly durationUs: number;
  /** From the request's first byte out to the response's last byte in. */
  readonly p50Us: number;
  readonly p99Us: number;
  /** Requests without a 2xx or 3xx response, and connections that broke. */
  readonly failed: number;
}
