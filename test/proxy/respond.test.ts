import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeGrpcMessage, grpcStatusOf } from "../../src/proxy/grpc-status.ts";
import { denialResponse, type FaultName, faultResponse, isGrpc, pathFaultResponse } from "../../src/proxy/respond.ts";
import { flagSet, formatFlags } from "../../src/telemetry/response-flags.ts";

function field(headers: readonly string[], name: string): string | undefined {
  const at = headers.findIndex((text, index) => index % 2 === 0 && text === name);
  return at < 0 ? undefined : headers[at + 1];
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe("faultResponse", () => {
  test.each([
    ["unknown_host", 404, "NR", "route_not_found"],
    ["no_route", 404, "NR", "route_not_found"],
    ["unreachable", 403, "RBAC", "rbac_access_denied_unreachable_upstream"],
    ["no_backend", 503, "UH", "no_healthy_upstream"],
    ["no_healthy_upstream", 503, "UH", "no_healthy_upstream"],
    ["connect_failure", 503, "UF", "upstream_reset_before_response_started{connection_failure}"],
    ["overflow", 503, "UO", "upstream_reset_before_response_started{overflow}"],
    ["retry_limit", 503, "URX", "upstream_retry_limit_exceeded"],
    ["upstream_timeout", 504, "UT", "upstream_response_timeout"],
    ["per_try_timeout", 504, "UT", "upstream_per_try_timeout"],
    ["upstream_reset", 503, "UC", "upstream_reset_before_response_started{connection_termination}"],
    ["upstream_remote_reset", 503, "UR", "upstream_reset_before_response_started{remote_reset}"],
    ["upstream_protocol_error", 502, "UPE", "upstream_reset_before_response_started{protocol_error}"],
    ["downstream_disconnect", 499, "DC", "downstream_remote_disconnect"],
    ["downstream_protocol_error", 400, "DPE", "downstream_protocol_error"],
    ["request_timeout", 408, "DPE", "downstream_request_timeout"],
    ["rate_limited", 429, "RL", "request_rate_limited"],
    ["draining", 503, "LR", "sidecar_draining"],
    ["not_ready", 503, "LR", "sidecar_not_ready"],
    ["deadline_exceeded", 504, "DT", "downstream_deadline_exceeded"],
    ["internal", 500, "LR", "sidecar_internal_error"],
  ] satisfies [FaultName, number, string, string][])("%s: %d %s", (name, status, flag, details) => {
    const response = faultResponse(name, { version: "1.1", service: "shop/catalog" });
    expect(response.head.status).toBe(status);
    expect(formatFlags(response.flags)).toBe(flag);
    expect(response.details).toBe(details);
    expect(field(response.head.headers, "server")).toBe("heddle");
    expect(field(response.head.headers, "content-type")).toBe("text/plain; charset=utf-8");
    expect(response.head.contentLength).toBe(response.body.byteLength);
    expect(text(response.body)).toMatch(/^[\x20-\x7e]+\.\nWhat to do: [\x20-\x7e]+\.\n$/);
    expect(response.grpcStatus).toBeUndefined();
  });

  test("names the service where it is known, and none where it is not", () => {
    expect(text(faultResponse("connect_failure", { version: "2", service: "shop/catalog" }).body)).toStartWith(
      "Could not connect to shop/catalog.\n",
    );
    expect(text(faultResponse("connect_failure", { version: "2" }).body)).toStartWith(
      "Could not connect to the service.\n",
    );
  });

  test("takes status, details and further flags from the one who knows better", () => {
    const response = faultResponse("retry_limit", { version: "2", status: 502, details: "x", flags: flagSet("UF") });
    expect([response.head.status, response.details, formatFlags(response.flags)]).toEqual([502, "x", "UF,URX"]);
    expect(pathFaultResponse("path_nul", { version: "1.1" })).toMatchObject({
      head: { status: 400 },
      details: "path_nul",
    });
  });

  test("an overflow says so to clients that know Envoy", () => {
    expect(field(faultResponse("overflow", { version: "2" }).head.headers, "x-envoy-overloaded")).toBe("true");
  });

  test("a gRPC caller gets trailers only, with a status and a message", () => {
    const response = faultResponse("no_healthy_upstream", {
      version: "2",
      contentType: "application/grpc+proto",
      service: "shop/catalog",
    });
    expect(response.head).toMatchObject({ status: 200, contentLength: 0 });
    expect(response.body.byteLength).toBe(0);
    expect(response.grpcStatus).toBe(14);
    expect(field(response.head.headers, "content-type")).toBe("application/grpc");
    expect(field(response.head.headers, "grpc-status")).toBe("14");
    expect(field(response.head.headers, "grpc-message")).toBe("No healthy endpoint of shop/catalog.");
  });
});

describe("denialResponse", () => {
  const denial = { details: "rbac_access_denied_matched_policy[none]@42", header: "100% no", body: "Denied.\n" };

  test("403 with the reason in body and header", () => {
    const response = denialResponse(denial, { version: "1.1" });
    expect(response.head.status).toBe(403);
    expect(field(response.head.headers, "x-heddle-denied")).toBe("100% no");
    expect(text(response.body)).toBe("Denied.\n");
    expect(formatFlags(response.flags)).toBe("RBAC");
    expect(response.details).toBe(denial.details);
  });

  test("PERMISSION_DENIED for gRPC", () => {
    const { head } = denialResponse(denial, { version: "2", contentType: "application/grpc" });
    expect(field(head.headers, "grpc-status")).toBe("7");
    expect(field(head.headers, "grpc-message")).toBe("100%25 no");
    expect(field(head.headers, "x-heddle-denied")).toBe("100% no");
  });
});

test.each([
  [undefined, false],
  ["application/grpc", true],
  ["Application/gRPC+json", true],
  ["application/grpc;charset=utf-8", true],
  ["application/grpc-web", false],
  ["application/json", false],
])("isGrpc(%j) is %p", (contentType, expected) => {
  expect(isGrpc(contentType)).toBe(expected);
});

test.each([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 8],
  [502, 14],
  [503, 14],
  [504, 14],
  [499, 2],
  [500, 2],
  [418, 2],
])("HTTP %d is gRPC status %d", (http, grpc) => {
  expect(grpcStatusOf(http)).toBe(grpc);
});

test("grpc-message is printable ASCII that decodes to what was said", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (message) => {
      const encoded = encodeGrpcMessage(message);
      expect(encoded).toMatch(/^[\x20-\x7e]*$/);
      expect(decodeURIComponent(encoded)).toBe(message.toWellFormed());
    }),
  );
});
