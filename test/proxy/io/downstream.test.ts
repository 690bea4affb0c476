/** The two watches over accepted connections: heads that never end, connections that nobody uses. */

import { afterEach, expect, test } from "bun:test";
import type { AcceptRequest } from "../../../src/proxy/io/downstream.ts";
import { type Listener, listenPlain } from "../../../src/proxy/io/listener.ts";
import type { Limits } from "../../../src/proxy/limits.ts";
import { systemRuntime } from "../../../src/proxy/runtime.ts";
import { type Answering, answering } from "../../support/answering.ts";
import { eventually } from "../../support/mesh.ts";
import { RawClient } from "../../support/raw-client.ts";

const open: Listener[] = [];
afterEach(() => {
  for (const listener of open.splice(0)) listener.close();
});

async function connect(limits: Partial<Limits>): Promise<{ client: RawClient; app: Answering; listener: Listener }> {
  const app = answering();
  const address = { host: "127.0.0.1", port: 0 };
  const listener = listenPlain({ address, runtime: systemRuntime(limits), accept: app.accept });
  open.push(listener);
  return { client: await RawClient.connect(listener.address.port), app, listener };
}

const GET = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n";
const HELD = "GET /held HTTP/1.1\r\nhost: x\r\n\r\n";
/** HTTP/2 preface and an empty SETTINGS. */
const HTTP_2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

test("a head that comes in drips is given up when its time is over, however often something comes", async () => {
  const { client } = await connect({ headTimeoutMs: 120 });
  const startMs = performance.now();
  for (const one of GET.repeat(10)) {
    if (client.closed) break;
    if (performance.now() - startMs > 3_000) break;
    try {
      client.send(one);
    } catch {
      break;
    }
    await Bun.sleep(10);
    if (client.text.includes("200")) throw new Error("the head came to its end before its time was over");
  }
  await client.untilEnded();
  expect(performance.now() - startMs).toBeLessThan(1_500);
});

test("so is one that stops after its first byte, even one that may yet be HTTP/2", async () => {
  for (const first of ["P", "G"]) {
    const { client } = await connect({ headTimeoutMs: 80 });
    client.send(first);
    await client.untilEnded(2_000);
  }
});

test("a second head on a kept connection is watched like the first, and time between requests is none of it", async () => {
  const { client } = await connect({ headTimeoutMs: 100 });
  client.send(GET);
  await client.until("/a nobody");
  await Bun.sleep(250);
  client.send(GET);
  await client.until(/\/a nobody[\s\S]*\/a nobody/);
  client.send("GET /");
  await client.untilEnded(2_000);
});

test("a body may take longer than a head", async () => {
  const { client } = await connect({ headTimeoutMs: 60 });
  client.send("POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n");
  for (const one of "abcd") {
    await Bun.sleep(60);
    client.send(one);
  }
  await client.until("/a nobody");
  client.close();
});

test("a connection that nobody uses ends; one with a request under way does not", async () => {
  const { client, app, listener } = await connect({ idleTimeoutMs: 80 });
  client.send(HELD);
  await Bun.sleep(250);
  expect(client.ended).toBe(false);
  app.release();
  await client.until("/held nobody");
  await client.untilEnded(2_000);
  client.close();
  await eventually(() => expect(listener.connections.size).toBe(0));
});

test("one that never sent a byte ends as well", async () => {
  const { client } = await connect({ idleTimeoutMs: 60 });
  await client.untilEnded(2_000);
});

test("an idle HTTP/2 peer is told to leave, and left if it does not answer", async () => {
  const { client, listener } = await connect({ idleTimeoutMs: 60 });
  client.send(HTTP_2);
  await client.until("hdldrain");
  await eventually(() => expect(listener.connections.size).toBe(0), 2_000);
});

test("a bug ends the connection that it befell, and is told of; the others live", async () => {
  const bugs: unknown[] = [];
  const app = answering();
  const bug = new Error("bug");
  const accept: AcceptRequest = (downstream) => {
    const owner = app.accept(downstream);
    return {
      ...owner,
      accept(stream) {
        const listener = owner.accept(stream);
        return {
          ...listener,
          onHead(head, end) {
            if (head.path === "/bug") throw bug;
            // Thrown where no socket's callback is there to catch it: at the end of the turn.
            if (head.path === "/later") Object.defineProperty(downstream, "drained", { value: () => fail(bug) });
            listener.onHead(head, end);
          },
        };
      },
    };
  };
  const runtime = systemRuntime({}, (error) => void bugs.push(error));
  const listener = listenPlain({ address: { host: "127.0.0.1", port: 0 }, runtime, accept });
  open.push(listener);
  const { port } = listener.address;
  const [good, bad, late] = await Promise.all([1, 2, 3].map(() => RawClient.connect(port)));
  late?.send("GET /later HTTP/1.1\r\nhost: x\r\n\r\n");
  bad?.send("GET /bug HTTP/1.1\r\nhost: x\r\n\r\n");
  await bad?.untilEnded();
  await late?.untilEnded();
  good?.send(GET);
  await good?.until("/a nobody");
  expect(bugs).toEqual([bug, bug]);
});

function fail(error: Error): never {
  throw error;
}
