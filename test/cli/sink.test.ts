/** Every change, live, for others: as a webhook, and for any NATS client that a viewer's credentials are given to. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { applying, type ControlMesh, send, service, startMesh } from "../control/mesh.ts";
import { eventually } from "../support/mesh.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const SECRET = "sixteen bytes at least";

interface Received {
  readonly id: string;
  readonly signature: string;
  readonly expected: string;
  readonly event: {
    readonly specversion: string;
    readonly sequence: string;
    readonly data: { readonly reason: string };
  };
}

let mesh: ControlMesh;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "heddle-sink-"));
  await writeFile(join(directory, "secret"), SECRET);
  mesh = await startMesh();
  await mesh.startReplica();
});

afterAll(async () => {
  await mesh.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Takes webhooks; `answer` says with which status. */
function receiver(answer: (event: Received) => number) {
  const received: Received[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const body = await request.text();
      const id = request.headers.get("webhook-id") ?? "";
      const signed = `${id}.${request.headers.get("webhook-timestamp")}.${body}`;
      const expected = `v1,${createHmac("sha256", SECRET).update(signed).digest("base64")}`;
      const signature = request.headers.get("webhook-signature") ?? "";
      const one: Received = { id, signature, expected, event: JSON.parse(body) };
      received.push(one);
      return new Response(null, { status: answer(one) });
    },
  });
  return { received, url: `http://127.0.0.1:${server.port}/`, stop: () => server.stop(true) };
}

function startSink(url: string) {
  const state = join(directory, "state");
  const server = ["--dir", mesh.nats.directory.path, "--nats-url", mesh.nats.url];
  const options = ["--secret-file", join(directory, "secret"), "--state", state, "--after", "0", ...server];
  return Bun.spawn([process.execPath, MAIN, "sink", "webhook", url, ...options], {
    stdout: "ignore",
    stderr: "ignore",
  });
}

async function declare(name: string, reason: string): Promise<number> {
  const reply = await send(mesh.ada, applying(service(name)), { reason });
  if (reply.kind !== "decided" || reply.revision === undefined) throw new Error(JSON.stringify(reply));
  return reply.revision;
}

test("a webhook gets each change signed and in order, again after a failure, and after the sink was killed", async () => {
  let failures = 0;
  const { received, url, stop } = receiver(({ event }) => {
    if (event.data.reason === "refuse this") return 400;
    return event.data.reason === "try again" && failures++ < 2 ? 503 : 204;
  });
  const first = startSink(url);
  await declare("one", "try again");
  await declare("two", "refuse this");
  const third = await declare("three", "as usual");
  const has = (revision: number) => () => {
    expect(received.map(({ event }) => Number(event.sequence))).toContain(revision);
  };
  await eventually(has(third), 30_000);
  await eventually(async () => expect(await readFile(join(directory, "state", "position"), "utf8")).toBe(`${third}\n`));
  first.kill("SIGKILL");
  await first.exited;
  const fourth = await declare("four", "while nobody was there");

  const second = startSink(url);
  await eventually(has(fourth), 30_000);
  second.kill("SIGTERM");
  expect(await second.exited).toBe(0);
  stop();

  expect(received.every(({ signature, expected }) => signature === expected)).toBe(true);
  expect(received.every(({ event }) => event.specversion === "1.0")).toBe(true);
  const revisions = received.map(({ event }) => Number(event.sequence));
  expect([...new Set(revisions)]).toEqual(Array.from({ length: fourth }, (_, index) => index + 1));
  expect(received.filter(({ event }) => event.data.reason === "try again").length).toBe(3);
  expect(new Set(received.map(({ id }) => id)).size).toBe(fourth);
  const letters = (await readFile(join(directory, "state", "dead-letters.jsonl"), "utf8")).trim().split("\n");
  expect(letters.map((line) => JSON.parse(line).reason)).toEqual(["answered 400"]);
}, 90_000);

test("a position beyond the end of the ledger is another ledger's, and told at once", async () => {
  const state = join(directory, "elsewhere");
  await mkdir(state);
  await writeFile(join(state, "position"), "4711\n");
  const server = ["--dir", mesh.nats.directory.path, "--nats-url", mesh.nats.url];
  const sink = Bun.spawn(
    [process.execPath, MAIN, "sink", "webhook", "http://127.0.0.1:9/", "--state", state, ...server],
    {
      stderr: "pipe",
    },
  );
  expect(await new Response(sink.stderr).text()).toContain("and 4711 is where to go on");
  expect(await sink.exited).toBe(1);
}, 60_000);

test("a receiver that is gone ends the sink, which goes on from there elsewhere", async () => {
  let gone = true;
  const { received, url, stop } = receiver(() => (gone ? 410 : 204));
  const state = join(directory, "moved");
  const server = ["--dir", mesh.nats.directory.path, "--nats-url", mesh.nats.url, "--after", "0"];
  const start = () =>
    Bun.spawn([process.execPath, MAIN, "sink", "webhook", url, "--state", state, ...server], { stderr: "pipe" });
  const first = start();
  expect(await new Response(first.stderr).text()).toContain("wants nothing any more (410), from revision 1 on");
  expect(await first.exited).toBe(1);
  gone = false;
  const second = start();
  await eventually(
    () => expect(received.map(({ event }) => event.sequence).slice(0, 3)).toEqual(["1", "1", "2"]),
    30_000,
  );
  second.kill("SIGTERM");
  await second.exited;
  stop();
}, 90_000);

test("for a chat, a change is a message in words; the URL is told to nobody, and no other sink shares its position", async () => {
  const bodies: unknown[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      expect(request.headers.get("content-type")).toBe("application/json; charset=utf-8");
      bodies.push(await request.json());
      return new Response("ok");
    },
  });
  const place = join(directory, "slack.url");
  await writeFile(place, `http://127.0.0.1:${server.port}/services/T0/B0/secret\n`);
  const state = join(directory, "chat");
  const connection = ["--dir", mesh.nats.directory.path, "--nats-url", mesh.nats.url];
  const args = ["sink", "webhook", `@${place}`, "--format", "slack", "--state", state, "--after", "1", ...connection];
  const sink = Bun.spawn([process.execPath, MAIN, ...args], { stderr: "pipe" });
  await declare("chatty", "for <!channel> & all");
  await eventually(() => expect(bodies.length).toBeGreaterThan(0), 30_000);
  const second = Bun.spawn([process.execPath, MAIN, ...args], { stderr: "pipe" });
  expect(await new Response(second.stderr).text()).toContain(`${state} is in use by process ${sink.pid}`);
  expect(await second.exited).toBe(1);
  const lines = ["*ada* changed shop (revision ", ": “for &lt;!channel&gt; &amp; all”", "• declared shop/chatty on "];
  await eventually(() => {
    for (const part of lines) expect(JSON.stringify(bodies)).toContain(part);
  }, 30_000);
  sink.kill("SIGTERM");
  const said = await new Response(sink.stderr).text();
  expect(said).toContain(`to http://127.0.0.1:${server.port}\n`);
  expect(said).not.toContain("secret");
  server.stop(true);
}, 60_000);

test("any NATS client with a viewer's credentials hears of a change and reads it", async () => {
  const viewer = await mesh.connectOperator({ name: "siem", role: "viewer", namespaces: [] });
  const { client } = viewer.bus as { client: import("nats").NatsConnection };
  const heard = client.subscribe("heddle.recorded.>", { max: 1 });
  await client.flush();
  const revision = await declare("five", "for the record");
  for await (const { subject, headers } of heard) {
    expect(subject).toBe("heddle.recorded.shop");
    const sequence = Number(headers?.get("Nats-Sequence"));
    expect(sequence).toBe(revision);
    const request = JSON.stringify({ seq: sequence });
    const stored = await client.request("$JS.API.DIRECT.GET.HEDDLE_EVENTS", request, { timeout: 10_000 });
    expect(stored.json<Received["event"]>()).toMatchObject({ specversion: "1.0", data: { reason: "for the record" } });
  }
}, 60_000);
