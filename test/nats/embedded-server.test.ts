import { afterEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBucket } from "../../src/nats/buckets.ts";
import { connectBus } from "../../src/nats/connection.ts";
import { createDirectory, type Directory, openDirectory } from "../../src/nats/directory.ts";
import { type EmbeddedServer, startServer } from "../../src/nats/embedded-server.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function newDirectory(): Promise<Directory> {
  const path = await mkdtemp(join(tmpdir(), "heddle-server-"));
  cleanups.push(() => rm(path, { recursive: true, force: true }));
  return createDirectory(join(path, "state"), { trustDomain: "mesh.local", operator: "ada" });
}

async function start(directory: Directory): Promise<EmbeddedServer> {
  const server = await startServer({ directory, binary: await findServerBinary(process.env) });
  cleanups.push(() => server.stop());
  return server;
}

test("stores what was acknowledged across kill -9, and comes back on its port", async () => {
  const directory = await newDirectory();
  const first = await start(directory);
  const credentials = await directory.controlCredentials();
  const connectTo = async (url: string) => {
    const bus = await connectBus({ url, credentials, name: "test", onError: () => {} });
    cleanups.push(() => bus.close());
    return openBucket(bus, "kept");
  };
  const bucket = await connectTo(first.url);
  const writes = Array.from({ length: 100 }, (_, index) => bucket.put(`key-${index}`, new Uint8Array([index])));
  await Promise.all(writes);
  process.kill(first.pid, "SIGKILL");
  expect(await first.exited).toEqual({ code: null, signal: "SIGKILL", requested: false });

  const reopened = await openDirectory(directory.path);
  if (reopened === undefined) throw new Error("the directory is gone");
  const second = await start(reopened);
  expect(second.url).toBe(first.url);
  const entries = await (await connectTo(second.url)).entries();
  expect(entries.map(({ value }) => value[0])).toEqual(Array.from({ length: 100 }, (_, index) => index));
}, 30_000);

test("a directory has one server at a time, and says whose", async () => {
  const directory = await newDirectory();
  const server = await start(directory);
  await expect(start(directory)).rejects.toThrow(`in use by process ${process.pid}; stop that one first`);
  await server.stop();
  expect((await server.exited).requested).toBe(true);
  const next = await start(directory);
  expect(next.pid).not.toBe(server.pid);
});

test("a lock left by a dead process, or naming a reused process id, is taken over", async () => {
  const directory = await newDirectory();
  await writeFile(join(directory.natsPath, "lock"), `${process.pid} another-start-time\n`);
  const server = await start(directory);
  await server.stop();
  await writeFile(join(directory.natsPath, "lock"), "");
  await start(directory);
});

test("a server that cannot start says why, and lets go of the directory", async () => {
  const directory = await newDirectory();
  const binary = await findServerBinary(process.env);
  // TEST-NET-1 (RFC 5737): nobody's address.
  const starting = startServer({ directory, binary, host: "192.0.2.1", port: 4222 });
  await expect(starting).rejects.toThrow(/did not start.*\n.*192\.0\.2\.1/);
  await start(directory);
});

test("a damaged configuration is reported from what the server printed", async () => {
  const directory = await newDirectory();
  const binary = await findServerBinary(process.env);
  const starting = startServer({ directory, binary, host: "not a host : ", port: 1 });
  await expect(starting).rejects.toThrow(/did not start/);
});

test("only the owner can read what is kept, and old logs are not kept for ever", async () => {
  const directory = await newDirectory();
  const names = [1, 2, 3, 4, 5].map((day) => `server.log.2026.01.0${day}.00.00.00.000000000`);
  for (const name of names) await writeFile(join(directory.natsPath, name), "old");
  await start(directory);
  const modeOf = async (...parts: string[]) => ((await stat(join(directory.path, ...parts))).mode & 0o777).toString(8);
  for (const part of ["", "trust", "creds", "nats", "ca"]) expect([part, await modeOf(part)]).toEqual([part, "700"]);
  for (const file of [
    "context.json",
    "trust/nats.json",
    "creds/control.creds",
    "creds/operator.creds",
    "nats/server.conf",
  ]) {
    expect([file, await modeOf(file)]).toEqual([file, "600"]);
  }
  const logs = (await readdir(directory.natsPath)).filter((name) => name.startsWith("server.log."));
  expect(logs.sort()).toEqual(names.slice(2));
});
