/** gRPC through both sidecars: grpc-js at either end. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { CalledService } from "../support/called-service.ts";
import { eventually } from "../support/mesh.ts";
import { type NodeChild, startNode } from "./node-child.ts";
import { needs } from "./tool.ts";

const OK = 0;
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;

const MEGABYTE = 1024 * 1024;

/** Calls of `Fail` are denied by the called side, and a Route limits the time of `TimeLeft`. */
const POLICY = `
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: closed }
spec: { ports: [{ port: 8080, protocol: grpc }] }
---
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: empty }
spec: { ports: [{ port: 8080, protocol: grpc }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: empty }
spec: { service: empty, rules: [{ allow: { from: [shop/web] } }] }
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: no-admin }
spec: { service: app, rules: [{ deny: { paths: [/heddle.Admin/*] } }] }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: app }
spec:
  service: app
  rules:
    - match: [{ path: { prefix: /heddle.Test/Never }, headers: { x-limited: { exact: "yes" } } }]
      timeout: 200ms
    - {}
`;

const [title, missing] = needs("node", "gRPC");
describe.skipIf(missing)(title, () => {
  let server: NodeChild;
  let service: CalledService;
  let client: NodeChild;

  beforeAll(async () => {
    server = await startNode("grpc-server.mjs");
    service = await CalledService.start({ protocol: "grpc", port: Number(server.greeting), policy: POLICY });
    client = await startNode("grpc-client.mjs", String(service.outboundPort), "app");
  });
  afterAll(async () => {
    await client.kill();
    await service.stop();
    await server.kill();
  });

  test("a unary call, with metadata both ways, text and binary", async () => {
    const answer = await client.ask({ kind: "echo", size: 100, header: "a, b; c", binary: "00ff80" });
    expect(answer).toMatchObject({ code: OK, same: true, headers: { "x-echo": "a, b; c" }, hex: "00ff80" });
    expect(answer).toMatchObject({
      trailers: { "x-caller": "By=spiffe://mesh.local/ns/shop/sa/app;URI=spiffe://mesh.local/ns/shop/sa/web" },
    });
  });

  test("messages of four megabytes and more, and of nothing", async () => {
    for (const size of [0, 4 * MEGABYTE, 9 * MEGABYTE + 1]) {
      expect(await client.ask({ kind: "echo", size })).toMatchObject({ code: OK, same: true });
    }
  });

  test("client stream, server stream, and both at once", async () => {
    expect(await client.ask({ kind: "collect", count: 300, size: 5_000 })).toEqual({ messages: 300, size: 1_500_000 });
    expect(await client.ask({ kind: "expand", count: 300, size: 20_000 })).toMatchObject({
      code: OK,
      messages: 300,
      size: 6_000_000,
    });
    const heard = Array.from({ length: 50 }, (_, index) => String(index));
    expect(await client.ask({ kind: "chat", rounds: 50 })).toEqual({ code: OK, heard });
  });

  test("a failure without a message, in trailers only, arrives word for word", async () => {
    expect(await client.ask({ kind: "fail" })).toMatchObject({
      code: FAILED_PRECONDITION,
      details: "not yet: 100 % späť",
      trailers: { "x-reason": "closed" },
    });
  });

  test("more calls at once than the connection takes streams", async () => {
    expect(await client.ask({ kind: "many", count: 700, size: 2_000 })).toEqual({ [OK]: 700 });
  }, 15_000);

  test("a call that its caller cancels is cancelled at the server", async () => {
    const { cancelled: before } = (await client.ask({ kind: "cancelled" })) as { cancelled: number };
    expect(await client.ask({ kind: "cancelNever" })).toMatchObject({ code: CANCELLED });
    await eventually(async () => {
      expect(await client.ask({ kind: "cancelled" })).toMatchObject({ cancelled: before + 1 });
    });
    expect(await client.ask({ kind: "expand", size: 10, cancel: true })).toMatchObject({ code: CANCELLED });
  });

  test("a deadline reaches the server, less the time that was spent", async () => {
    const { left } = (await client.ask({ kind: "timeLeft", deadlineMs: 5_000 })) as { left: number };
    expect(left).toBeGreaterThan(3_000);
    expect(left).toBeLessThanOrEqual(5_000);
    expect(await client.ask({ kind: "timeLeft" })).toMatchObject({ code: OK, left: null });
  });

  test("a deadline that passes ends the call at both ends", async () => {
    const { cancelled: before } = (await client.ask({ kind: "cancelled" })) as { cancelled: number };
    expect(await client.ask({ kind: "never", deadlineMs: 300 })).toMatchObject({ code: DEADLINE_EXCEEDED });
    await eventually(async () => {
      expect(await client.ask({ kind: "cancelled" })).toMatchObject({ cancelled: before + 1 });
    });
  });

  describe("what the mesh itself answers", () => {
    let session: ClientHttp2Session;
    beforeAll(() => {
      session = connect(`http://127.0.0.1:${service.outboundPort}`);
    });
    afterAll(() => session.destroy());

    /** A call that keeps no time of its own. */
    function call(path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingHttpHeaders> {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        ":authority": "app",
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
      stream.end(Buffer.alloc(5));
      return new Promise((resolve, reject) => {
        let all: IncomingHttpHeaders = {};
        const take = (fields: IncomingHttpHeaders): void => {
          all = { ...all, ...fields };
        };
        stream.on("response", take).on("trailers", take).on("error", reject).resume();
        stream.on("end", () => setImmediate(() => resolve(all)));
      });
    }

    test("DEADLINE_EXCEEDED and flag DT, when the caller's time is up", async () => {
      const answer = await call("/heddle.Test/Never", { "grpc-timeout": "150m", "x-request-id": "late" });
      expect(answer).toMatchObject({ ":status": 200, "grpc-status": String(DEADLINE_EXCEEDED), server: "heddle" });
      expect(await service.line("late")).toMatchObject({
        response_flags: "DT",
        response_code_details: "downstream_deadline_exceeded",
      });
    });

    test("DEADLINE_EXCEEDED and flag UT, when the Route gives it less", async () => {
      const answer = await call("/heddle.Test/Never", {
        "grpc-timeout": "9S",
        "x-limited": "yes",
        "x-request-id": "limited",
      });
      expect(answer).toMatchObject({ "grpc-status": String(DEADLINE_EXCEEDED) });
      expect(await service.line("limited")).toMatchObject({ response_flags: "UT" });
    });

    test("a deadline in the middle of a response ends it with trailers", async () => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/heddle.Test/Expand",
        ":authority": "app",
        "content-type": "application/grpc",
        "grpc-timeout": "2000m",
        "x-request-id": "midway",
        te: "trailers",
      });
      const request = Buffer.from('{"size":10}');
      stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]));
      let received = 0;
      stream.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      const trailers = await new Promise<IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
      expect(received).toBe(15);
      expect(trailers["grpc-status"]).toBe(String(DEADLINE_EXCEEDED));
      expect(await service.line("midway")).toMatchObject({ response_code: 200, response_flags: "DT" });
    });

    test("PERMISSION_DENIED with the denial's words, from the called side and from the calling one", async () => {
      const denied = await call("/heddle.Admin/Stop");
      expect(denied).toMatchObject({ ":status": 200, "grpc-status": String(PERMISSION_DENIED) });
      expect(denied["grpc-message"]).toContain("shop/web may not POST /heddle.Admin/Stop on shop/app");
      const unreachable = await call("/heddle.Test/Echo", { ":authority": "closed" });
      expect(unreachable["grpc-status"]).toBe(String(PERMISSION_DENIED));
      expect(unreachable["grpc-message"]).toContain("heddle allow shop/web shop/closed");
    });

    test("UNAVAILABLE without an endpoint, UNIMPLEMENTED where there is no such service", async () => {
      const empty = await call("/heddle.Test/Echo", { ":authority": "empty" });
      expect(empty).toMatchObject({ "grpc-status": String(UNAVAILABLE) });
      const unknown = await call("/heddle.Test/Echo", { ":authority": "nowhere" });
      expect(unknown).toMatchObject({ "grpc-status": String(UNIMPLEMENTED), server: "heddle" });
    });
  });

  test("a server that dies in the middle of a response leaves UNAVAILABLE behind", async () => {
    const dying = await client.ask({ kind: "expand", size: 10, kill: server.pid });
    expect(dying).toMatchObject({ code: UNAVAILABLE, messages: 1 });
    expect(await client.ask({ kind: "echo", size: 1 })).toMatchObject({ code: UNAVAILABLE });
  });
});
