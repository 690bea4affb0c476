/** gRPC's status codes by name (gRPC, "Status codes and their use in gRPC"). */

/** At the index of their number. */
const NAMES: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The number of a failure, by its name or as it is; undefined for what is none, as OK. */
export function grpcStatusCode(text: string): number | undefined {
  const code = /^\d{1,2}$/.test(text) ? Number(text) : NAMES.indexOf(text.toUpperCase());
  return code >= 1 && code < NAMES.length ? code : undefined;
}
