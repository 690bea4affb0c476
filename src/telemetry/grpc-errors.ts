/**
 * Which of gRPC's statuses are the server's failure (gRPC, "Status codes and their use in gRPC"): the HTTP status of such
 * a response is 200.
 */

/** DEADLINE_EXCEEDED, UNAVAILABLE. */
export const GRPC_GATEWAY_ERRORS: ReadonlySet<number> = new Set([4, 14]);
/** UNKNOWN, UNIMPLEMENTED, INTERNAL, DATA_LOSS. */
export const GRPC_SERVER_ERRORS: ReadonlySet<number> = new Set([2, 12, 13, 15]);
