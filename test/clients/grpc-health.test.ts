/** `--app-health grpc`, against the standard health service of a real gRPC server. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CalledService } from "../support/called-service.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeChild, startNode } from "./node-child.ts";
import { needs } from "./tool.ts";

const SERVING = 1;
const NOT_SERVING = 2;

const [title, missing] = needs("node", "readiness by grpc.health.v1");
describe.skipIf(missing)(title, () => {
  let server: NodeChild;
  let service: CalledService;
  let client: NodeChild;

  beforeAll(async () => {
    server = await startNode("grpc-server.mjs");
    const port = Number(server.greeting);
    service = await CalledService.start({ protocol: "grpc", port, appHealth: { kind: "grpc" } });
    // Straight to the server: an unhealthy one cannot be reached through the mesh.
    client = await startNode("grpc-client.mjs", server.greeting, "localhost");
  });
  afterAll(async () => {
    await client.kill();
    await service.stop();
    await server.kill();
  });

  const offered = (): number => service.mesh.endpoints.registry.endpointsOf("shop/app").length;

  test("the instance is offered while the service says SERVING, and only then", async () => {
    expect([service.app.sidecar.notReady(), offered()]).toEqual([undefined, 1]);
    await client.ask({ kind: "setHealth", status: NOT_SERVING });
    await eventually(() => expect(offered()).toBe(0));
    expect(service.app.sidecar.notReady()).toBe(
      "the application is not healthy: its health service does not say SERVING",
    );
    await client.ask({ kind: "setHealth", status: SERVING });
    await eventually(() => expect([service.app.sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  }, 20_000);

  test("a server without a health service is not ready, and says why", async () => {
    const plain = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no gRPC here") });
    const own = await service.mesh.startSidecar({
      service: "shop/app",
      appPort: plain.port ?? 0,
      appHealth: { kind: "grpc" },
    });
    await eventually(() => expect(own.sidecar.notReady()).toContain("its health service does not answer"));
    await own.stop();
    await plain.stop(true);
  });

  test("a server that dies is noticed", async () => {
    await server.kill();
    await eventually(() => expect(offered()).toBe(0));
    expect(service.app.sidecar.notReady()).toContain("it takes no connections");
  });
});
