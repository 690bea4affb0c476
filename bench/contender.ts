/**
 * What is measured: a pair of proxies as two sidecars stand between two applications, whoever made them.
 *
 *     client → plain HTTP → proxy A ⇒ mutual TLS 1.3 ⇒ proxy B → plain HTTP → application
 *
 * Each proxy is a process of its own, as it would be in a mesh: two hops within one process would share its event loop
 * and spare what a real hop costs.
 */

import type { Certificates, Identity } from "./certificates.ts";

/** What the application speaks: HTTP/1.1, or gRPC over HTTP/2 without TLS. A pair is started for one of them. */
export type Protocol = "http" | "grpc";

/** What every contender is given. */
export interface Site {
  /** A directory of its own, which exists and is removed afterwards. */
  readonly directory: string;
  readonly protocol: Protocol;
  readonly applicationPort: number;
  /** For contenders that do not issue their own. */
  readonly certificates: Certificates;
  /** Registers what ends something that was started; called in reverse order when all is over, or when a start failed. */
  readonly defer: (stop: () => Promise<unknown>) => void;
}

/** A contender that runs and answers. */
export interface RunningPair {
  /** Plain HTTP on 127.0.0.1, for the load. */
  readonly port: number;
  /** Roots of the process trees whose CPU and memory count; none for the direct call. */
  readonly pids: readonly number[];
  /** Where proxy B takes proxy A's connections, and an identity that it admits; none for the direct call. */
  readonly inbound: { readonly port: number; readonly client: Identity } | undefined;
}

export interface Contender {
  /** As `--only` takes it. */
  readonly name: string;
  /** Accepts HTTP/2 without TLS by prior knowledge (RFC 9113 §3.3) where it accepts HTTP/1.1. */
  readonly acceptsH2c: boolean;
  /** Can carry gRPC, trailers and all, over both hops. */
  readonly carriesGrpc: boolean;
  /** Undefined: can run here. Otherwise how to get what is missing. */
  missing(): string | undefined;
  /** One line, such as `HAProxy version 2.6.12`. */
  version(): Promise<string>;
  /** Resolves when a call through both hops has been answered with 200. */
  start(site: Site): Promise<RunningPair>;
}
