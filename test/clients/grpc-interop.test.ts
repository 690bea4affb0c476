/**
 * The interoperability tests of the gRPC project, by its Go client and server, through both sidecars. Both are built with
 * `go build -o ~/go/bin/grpc-interop-client google.golang.org/grpc/interop/client`, and `…-server` likewise.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Subprocess } from "bun";
import { CalledService } from "../support/called-service.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/mesh.ts";
import { RawClient } from "../support/raw-client.ts";
import { needs, run } from "./tool.ts";

const CLIENT = "grpc-interop-client";
const SERVER = "grpc-interop-server";

/** All of the client's but those that need credentials of a cloud, or more than one server. */
const CASES = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "status_code_and_message",
  "special_status_message",
  "custom_metadata",
  "unimplemented_method",
  "unimplemented_service",
];

const [title, noClient] = needs(CLIENT, "gRPC interop");
const [serverTitle, noServer] = needs(SERVER, "gRPC interop");
describe.skipIf(noClient || noServer)(noClient ? title : serverTitle, () => {
  let server: Subprocess;
  let service: CalledService;

  beforeAll(async () => {
    const port = freePort();
    server = Bun.spawn([SERVER, "-port", String(port)], { stdout: "ignore", stderr: "ignore" });
    await eventually(async () => (await RawClient.connect(port)).close(), 10_000);
    service = await CalledService.start({ protocol: "grpc", port });
  });
  afterAll(async () => {
    await service.stop();
    server.kill();
    await server.exited;
  });

  test.each(CASES)("%s", async (name) => {
    // The client names no host but the address, which the listener for one service does not ask about.
    const address = ["-server_host", "127.0.0.1", "-server_port", String(service.boundPort)];
    const { code, err } = await run([CLIENT, ...address, "-test_case", name]);
    expect([code, err]).toEqual([0, expect.not.stringContaining("FATAL")]);
  });
});
