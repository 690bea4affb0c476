import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { eventually, TestMesh, type TestSidecar } from "../../support/mesh.ts";
import { openToWeb, serviceDocument } from "../../support/policy.ts";

const POLICY = serviceDocument("web", "http") + serviceDocument("db", [{ port: 5432, protocol: "tcp" }]);
const ALLOW = openToWeb("db");

let mesh: TestMesh;
let web: TestSidecar;
let db: Server;
/** What the database does with a connection. */
let serve: (socket: Socket) => void;
let port: number;

beforeAll(async () => {
  db = createServer({ allowHalfOpen: true }, (socket) => serve(socket));
  await new Promise<void>((resolve) => db.listen(0, "127.0.0.1", resolve));
  const address = db.address();
  mesh = await TestMesh.start();
  await mesh.apply(POLICY + ALLOW);
  const bound = { namespace: "shop", name: "db", address: { host: "127.0.0.1", port: 0 } };
  web = await mesh.startSidecar({ service: "shop/web", appPort: 1, upstreams: [bound] });
  await mesh.startSidecar({ service: "shop/db", appPort: typeof address === "object" ? (address?.port ?? 0) : 0 });
  await mesh.converged();
  port = web.sidecar.upstreamAddresses[0]?.port ?? 0;
  serve = (socket) => socket.end("ready");
  await eventually(async () => {
    if ((await talk("")) !== "ready") throw new Error("not there yet");
  });
});

afterAll(async () => {
  await mesh.stop();
  db.close();
});

/** All that comes until the other side's end. Unlike an iterator, it leaves our own side open. */
function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks))).on("error", reject);
    socket.on("close", () => reject(new Error("closed before its end")));
  });
}

/** Connects, says `text` and half-closes, and returns all that comes back. */
async function talk(text: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.end(text);
  return (await readAll(socket)).toString();
}

test("a server that speaks first is heard before the client has said anything", async () => {
  serve = (socket) => socket.write("220 welcome\r\n");
  const socket = connect({ host: "127.0.0.1", port });
  const greeting = await new Promise<string>((resolve) => socket.once("data", (data) => resolve(data.toString())));
  expect(greeting).toBe("220 welcome\r\n");
  socket.destroy();
});

test("half-close: the server answers after the client's end, and sees that end", async () => {
  serve = async (socket) => {
    const request = await readAll(socket);
    socket.end(`${request.byteLength} bytes, then the end`);
  };
  expect(await talk("x".repeat(100_000))).toBe("100000 bytes, then the end");
});

test("half-close by the server leaves the client's direction open", async () => {
  const heard = Promise.withResolvers<string>();
  serve = (socket) => {
    socket.end("bye");
    void readAll(socket).then((data) => heard.resolve(data.toString()));
  };
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  expect((await readAll(socket)).toString()).toBe("bye");
  socket.end("still talking");
  expect(await heard.promise).toBe("still talking");
});

test("bytes of both directions arrive whole and in order", async () => {
  serve = (socket) => socket.pipe(socket);
  const sent = Buffer.alloc(16 * 1024 * 1024);
  for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(at, at);
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.end(sent);
  const back = await readAll(socket);
  expect(back.equals(sent)).toBe(true);
});

test("a reset on one side is a reset on the other", async () => {
  const reset = Promise.withResolvers<void>();
  serve = (socket) => {
    socket.on("error", () => reset.resolve()).on("close", () => reset.resolve());
    socket.write("x");
  };
  const socket = connect({ host: "127.0.0.1", port });
  await new Promise((resolve) => socket.once("data", resolve));
  socket.resetAndDestroy();
  await reset.promise;
});

test("without a rule that allows it, the connection is refused; HTTP to a tcp service likewise", async () => {
  serve = (socket) => socket.end("ready");
  const byHost = await fetch(web.outbound, { headers: { host: "db" } });
  expect([byHost.status, byHost.headers.get("server")]).toEqual([502, "heddle"]);
  await mesh.command("shop", { kind: "delete", keys: ["AccessPolicy/shop/db"] });
  await eventually(async () => {
    if ((await talk("").catch(() => "refused")) === "ready") throw new Error("still allowed");
  });
  await mesh.apply(ALLOW);
});

test("what went through is counted as TCP, and what was not let end in peace by what ended it", async () => {
  const page = await (await fetch(`${web.admin}/metrics`)).text();
  expect(page).toMatch(/istio_tcp_connections_opened_total\{[^}]*destination_service_name="db"[^}]*\} [1-9]/);
  // Of the client above that was reset.
  expect(page).toMatch(
    /istio_tcp_connections_closed_total\{[^}]*destination_service_name="db"[^}]*response_flags="DC"[^}]*\} [1-9]/,
  );
});
