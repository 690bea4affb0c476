/** How gRPC says what HTTP says by a status (gRPC over HTTP/2). */

/** Time ran out: not UNAVAILABLE, upon which clients try again. */
export const DEADLINE_EXCEEDED = 4;
/** Too much, or too often. */
export const RESOURCE_EXHAUSTED = 8;

/** gRPC status for an HTTP status, by gRPC's "HTTP to gRPC Status Code Mapping". */
export function grpcStatusOf(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return 13; // INTERNAL
    case 401:
      return 16; // UNAUTHENTICATED
    case 403:
      return 7; // PERMISSION_DENIED
    case 404:
      return 12; // UNIMPLEMENTED
    case 429:
      return RESOURCE_EXHAUSTED; // as Envoy answers for its own limits
    case 502:
    case 503:
    case 504:
      return 14; // UNAVAILABLE
    default:
      return 2; // UNKNOWN
  }
}

/** Percent-encodes `grpc-message` (gRPC over HTTP/2, "Responses"): UTF-8, all but printable ASCII, and `%` itself. */
export function encodeGrpcMessage(message: string): string {
  return message.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent);
}
