/** The gRPC service of the tests. Messages are bytes as they are, so that no schema and no generated code is needed. */

const bytes = (buffer) => buffer;

function method(path, requestStream, responseStream) {
  const serializers = { requestSerialize: bytes, requestDeserialize: bytes };
  return { path, requestStream, responseStream, ...serializers, responseSerialize: bytes, responseDeserialize: bytes };
}

export const TEST_SERVICE = {
  /** Answers with the message; metadata comes back as header and as trailer. */
  echo: method("/heddle.Test/Echo", false, false),
  /** Fails at once with a status, words and trailers. */
  fail: method("/heddle.Test/Fail", false, false),
  /** Tells how many milliseconds the caller left it. */
  timeLeft: method("/heddle.Test/TimeLeft", false, false),
  /** Never answers; counts the calls that were cancelled. */
  never: method("/heddle.Test/Never", false, false),
  cancelled: method("/heddle.Test/Cancelled", false, false),
  /** Answers a stream with its number of messages and bytes. */
  collect: method("/heddle.Test/Collect", true, false),
  /** `{count, size}` in JSON: that many messages; no count: one, and then nothing more. */
  expand: method("/heddle.Test/Expand", false, true),
  /** Answers each message with itself, and ends when the caller does. */
  chat: method("/heddle.Test/Chat", true, true),
  /** Sets what the health service says: one byte, `HealthCheckResponse.ServingStatus`. */
  setHealth: method("/heddle.Test/SetHealth", false, false),
};

/** grpc/health/v1/health.proto */
export const HEALTH_SERVICE = { check: method("/grpc.health.v1.Health/Check", false, false) };
