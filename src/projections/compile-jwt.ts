/** Which tokens of end users a service validates, with every default said. */

import { JWT_ALGORITHMS, type JwtSpec } from "../policy/schema.ts";
import { milliseconds } from "./compile-resilience.ts";
import type { SnapshotJwt } from "./snapshot.ts";

/** Clocks that are kept by NTP differ by less; Istio and Envoy allow as much. */
const CLOCK_SKEW_MS = 60_000;

/** Undefined fields of the document become the defaults that sidecars enforce. */
export function compileJwt({ required = false, providers }: JwtSpec): SnapshotJwt {
  return {
    required,
    providers: providers.map(
      ({ issuer, audiences, jwksUri, jwks, algorithms, clockSkew, forward = false, claimHeaders = {} }) => ({
        issuer,
        audiences,
        ...(jwksUri === undefined ? {} : { jwksUri }),
        ...(jwks === undefined ? {} : { jwks }),
        algorithms: algorithms ?? [...JWT_ALGORITHMS],
        clockSkewMs: clockSkew === undefined ? CLOCK_SKEW_MS : milliseconds(clockSkew),
        forward,
        claimHeaders,
      }),
    ),
  };
}
