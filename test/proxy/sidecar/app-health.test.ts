import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually, TestMesh } from "../../support/mesh.ts";

const POLICY = `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
`;

let mesh: TestMesh;

beforeAll(async () => {
  mesh = await TestMesh.start();
  await mesh.apply(POLICY);
});
afterAll(() => mesh.stop());

function serve(port: number, status: () => number) {
  return Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response("", { status: status() }) });
}

function offered(): number {
  return mesh.endpoints.registry.endpointsOf("shop/catalog").length;
}

test("an instance is offered while its application is healthy, and only then", async () => {
  let status = 200;
  const app = serve(0, () => status);
  const check = { kind: "http", path: "/healthz" } as const;
  const { sidecar, admin } = await mesh.startSidecar({
    service: "shop/catalog",
    appPort: app.port ?? 0,
    appHealth: check,
  });
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  status = 500;
  await eventually(() => expect(offered()).toBe(0));
  const ready = await fetch(`${admin}/healthz/ready`);
  expect([ready.status, await ready.text()]).toEqual([
    503,
    "not ready: the application is not healthy: GET /healthz was answered with 500\n",
  ]);
  status = 200;
  await eventually(() => expect(offered()).toBe(1));
  await app.stop(true);
  await eventually(() => expect(offered()).toBe(0));
  await sidecar.stop();
}, 20_000);

test("an application that starts after its sidecar is found", async () => {
  const placeholder = serve(0, () => 200);
  const port = placeholder.port ?? 0;
  await placeholder.stop(true);
  const { sidecar } = await mesh.startSidecar({ service: "shop/catalog", appPort: port, appHealth: { kind: "tcp" } });
  await eventually(() => expect(sidecar.notReady()).toContain("takes no connections"));
  const app = serve(port, () => 200);
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  await sidecar.stop();
  await app.stop(true);
});

test("policy says how the application is asked, whatever the sidecar was started with", async () => {
  let status = 503;
  const asked: string[] = [];
  const app = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(new URL(request.url).pathname);
      return new Response("", { status });
    },
  });
  const { sidecar } = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port ?? 0 });
  await eventually(() => expect([sidecar.notReady(), offered()]).toEqual([undefined, 1]));
  expect(asked).toEqual([]);
  await mesh.apply(
    POLICY.replace(" }] }", " }], healthCheck: { http: { path: /well }, interval: 20ms, healthyThreshold: 3 } }"),
  );
  await eventually(() => expect(offered()).toBe(0));
  expect(new Set(asked)).toEqual(new Set(["/well"]));
  const before = asked.length;
  status = 200;
  await eventually(() => expect(offered()).toBe(1));
  expect(asked.length - before).toBeGreaterThanOrEqual(3);
  status = 503;
  await eventually(() => expect(offered()).toBe(0));
  // Without a check in policy, it is as the sidecar was started: not asked at all.
  await mesh.apply(POLICY);
  await eventually(() => expect(offered()).toBe(1));
  await sidecar.stop();
  await app.stop(true);
}, 30_000);

test("its own application is asked, whatever proxies the environment names", async () => {
  const before = process.env.HTTP_PROXY;
  let wrong = 0;
  let asked = 0;
  const proxy = serve(0, () => {
    wrong++;
    return 200;
  });
  const app = serve(0, () => {
    asked++;
    return 200;
  });
  process.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
  try {
    const appHealth = { kind: "http", path: "/healthz" } as const;
    const { sidecar } = await mesh.startSidecar({ service: "shop/catalog", appPort: app.port ?? 0, appHealth });
    await eventually(() => expect(sidecar.notReady()).toBeUndefined());
    expect(asked).toBeGreaterThan(0);
    expect(wrong).toBe(0);
    await sidecar.stop();
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
  }
  await proxy.stop(true);
  await app.stop(true);
});

test("redirects are an answer; nonsense, silence and half an answer are none", async () => {
  let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
  const app = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(answer);
      },
    },
  });
  const { sidecar } = await mesh.startSidecar({
    service: "shop/catalog",
    appPort: app.port,
    appHealth: { kind: "http", path: "/healthz" },
  });
  await eventually(() => expect(sidecar.notReady()).toBeUndefined());
  for (const bad of ["SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200", "HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\n"]) {
    answer = bad;
    await mesh.apply(
      POLICY.replace(" }] }", ` }], healthCheck: { http: { path: /${bad.length} }, interval: 20ms, timeout: 200ms } }`),
    );
    await eventually(() => expect(sidecar.notReady()).toContain(`GET /${bad.length} was`));
    answer = "HTTP/1.1 204 No Content\r\n\r\n";
    await eventually(() => expect(sidecar.notReady()).toBeUndefined());
  }
  await mesh.apply(POLICY);
  await sidecar.stop();
  app.stop(true);
}, 30_000);
