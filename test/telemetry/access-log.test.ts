import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { formatAccessLine } from "../../src/telemetry/access-line.ts";
import { AccessLog, openAccessLog } from "../../src/telemetry/access-log.ts";
import { descriptorSink, type LogSink } from "../../src/telemetry/log-sink.ts";
import { flagSet } from "../../src/telemetry/response-flags.ts";
import { record } from "./record.ts";

describe("formatAccessLine", () => {
  test("has the fields of Istio's log, in order, and ours", () => {
    const line = formatAccessLine(
      record({
        details: "via_upstream",
        flags: flagSet("URX", "UF"),
        bytesReceived: 3,
        bytesSent: 130,
        upstreamServiceNs: 9_600_000,
        forwardedFor: "10.0.0.9",
        userAgent: "curl/8",
        requestId: "r-1",
        upstreamHost: "10.0.0.1:15006",
        upstreamCluster: "outbound|8080|v1|catalog.shop.mesh.local",
        routeName: "shop/catalog[1]",
        downstreamAddress: "10.0.0.2:4711",
        requestedServerName: "catalog",
        sourcePrincipal: "spiffe://mesh.local/ns/shop/sa/web",
        destinationPrincipal: "spiffe://mesh.local/ns/shop/sa/catalog",
        traceparent: "00-1-2-01",
        policyRevision: 42,
        policyOrigin: { document: "shop/catalog", rule: 1, revision: 40, actor: "alice" },
      }),
    );
    expect(line).toBe(
      '{"start_time":"2026-01-02T03:04:05.006Z","method":"GET","path":"/products?page=2","protocol":"HTTP/1.1",' +
        '"response_code":200,"response_flags":"UF,URX","response_code_details":"via_upstream","bytes_received":3,' +
        '"bytes_sent":130,"duration":12,"upstream_service_time":10,"x_forwarded_for":"10.0.0.9","user_agent":"curl/8",' +
        '"request_id":"r-1","authority":"catalog","upstream_host":"10.0.0.1:15006",' +
        '"upstream_cluster":"outbound|8080|v1|catalog.shop.mesh.local","route_name":"shop/catalog[1]",' +
        '"downstream_remote_address":"10.0.0.2:4711","requested_server_name":"catalog",' +
        '"source_principal":"spiffe://mesh.local/ns/shop/sa/web",' +
        '"destination_principal":"spiffe://mesh.local/ns/shop/sa/catalog","traceparent":"00-1-2-01",' +
        '"policy_revision":42,"policy_origin":"shop/catalog[1]@40"}\n',
    );
  });

  test("what is not known is null", () => {
    const fields: Record<string, unknown> = JSON.parse(formatAccessLine(record({ status: 0 })));
    const absent = Object.keys(fields).filter((name) => fields[name] === null);
    expect(absent.join(" ")).toBe(
      "response_code_details upstream_service_time x_forwarded_for user_agent request_id upstream_host " +
        "upstream_cluster route_name downstream_remote_address requested_server_name source_principal " +
        "destination_principal traceparent policy_origin",
    );
    expect(fields.response_flags).toBe("-");
    expect(fields.response_code).toBe(0);
  });

  test("whatever a client sends, it is one line of ASCII that reads back as it was sent", () => {
    const latin1 = fc.array(fc.integer({ min: 0, max: 255 })).map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(latin1, latin1, (path, userAgent) => {
        const line = formatAccessLine(record({ path, userAgent }));
        expect(line).toMatch(/^[\x20-\x7f]+\n$/);
        expect(JSON.parse(line)).toMatchObject({ path, user_agent: userAgent });
      }),
    );
  });

  test("formats times as Date does, within one second and across", () => {
    const time = fc.integer({ min: 0, max: Date.UTC(2100, 0) });
    fc.assert(
      fc.property(time, fc.integer({ min: 0, max: 1999 }), (startMs, laterMs) => {
        for (const at of [startMs, startMs + laterMs]) {
          expect(JSON.parse(formatAccessLine(record({ startMs: at }))).start_time).toBe(new Date(at).toISOString());
        }
      }),
    );
  });
});

/** A sink whose writes wait until the test lets them through. */
class GatedSink implements LogSink {
  readonly batches: string[] = [];
  closed = false;
  #gate = Promise.withResolvers<void>();

  async write(text: string): Promise<void> {
    this.batches.push(text);
    await this.#gate.promise;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  release(): void {
    this.#gate.resolve();
  }

  fail(): void {
    this.#gate.reject(new Error("disk full"));
    this.#gate = Promise.withResolvers();
    this.#gate.resolve();
  }
}

const linesOf = (text: string) => text.split("\n").slice(0, -1);

describe("AccessLog", () => {
  const lineLength = formatAccessLine(record()).length;

  test("gathers lines into batches, loses none, keeps their order", async () => {
    const sink = new GatedSink();
    sink.release();
    const log = new AccessLog(sink, { batchCharacters: 10 * lineLength });
    for (let n = 0; n < 1005; n++) {
      log.log(record({ bytesSent: n }));
      if (n % 100 === 0) await Bun.sleep(0);
    }
    await log.close();
    expect(linesOf(sink.batches.join("")).map((line) => JSON.parse(line).bytes_sent)).toEqual([...Array(1005).keys()]);
    expect(sink.batches.length).toBeLessThan(101);
    expect(log.dropped).toBe(0);
    expect(sink.closed).toBe(true);
  });

  test("a line does not wait longer than flushMs for others", async () => {
    const written = Promise.withResolvers<string>();
    const sink: LogSink = { write: async (text) => written.resolve(text), close: async () => {} };
    const log = new AccessLog(sink, { flushMs: 5 });
    log.log(record());
    expect(linesOf(await written.promise)).toHaveLength(1);
    await log.close();
  });

  test("while the sink is stuck, lines wait up to the bound, and are then dropped and counted", async () => {
    const sink = new GatedSink();
    const log = new AccessLog(sink, { batchCharacters: 1, waitingCharactersMax: 10 * lineLength });
    for (let n = 0; n < 111; n++) log.log(record());
    expect(sink.batches).toHaveLength(1);
    expect(log.dropped).toBe(100);
    sink.release();
    await log.close();
    expect(linesOf(sink.batches.join(""))).toHaveLength(11);
  });

  test("a batch that the sink fails to write is counted, and the next is tried", async () => {
    const sink = new GatedSink();
    const log = new AccessLog(sink, { batchCharacters: 1 });
    log.log(record());
    log.log(record());
    log.log(record());
    sink.fail();
    await log.close();
    expect(log.dropped).toBe(1);
    expect(linesOf(sink.batches[1] ?? "")).toHaveLength(2);
    expect([...(log.families()[0]?.samples() ?? [])]).toMatchObject([{ value: 1 }]);
  });

  test("samples, but never leaves out what went wrong", async () => {
    const sink = new GatedSink();
    sink.release();
    let draw = 0;
    const log = new AccessLog(sink, { sample: 0.25, random: () => (draw++ % 4) / 4 });
    for (let n = 0; n < 8; n++) log.log(record());
    for (let n = 0; n < 8; n++) log.log(record({ flags: flagSet("UC") }));
    await log.close();
    const flags = linesOf(sink.batches.join("")).map((line) => JSON.parse(line).response_flags);
    expect(flags).toEqual([..."--", ...Array(8).fill("UC")]);
  });
});

describe("openAccessLog", () => {
  test("off is no log", async () => {
    expect(await openAccessLog("off")).toBeUndefined();
  });

  test("appends to a file that others cannot read", async () => {
    const directory = await mkdtemp(join(tmpdir(), "access-log-"));
    try {
      const path = join(directory, "access.log");
      for (const bytesSent of [1, 2]) {
        const log = await openAccessLog(path);
        log?.log(record({ bytesSent }));
        await log?.close();
      }
      const lines = linesOf(await readFile(path, "utf8"));
      expect(lines.map((line) => JSON.parse(line).bytes_sent)).toEqual([1, 2]);
      expect((await stat(path)).mode & 0o007).toBe(0);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("on a pipe that several write to, every line arrives whole", async () => {
    const child = join(import.meta.dir, "stdout-child.ts");
    const both = `"$0" "$1" shared & "$0" "$1" shared & wait`;
    const shell = Bun.spawn(["sh", "-c", both, process.execPath, child], { stdout: "pipe", stderr: "ignore" });
    const lines = (await new Response(shell.stdout).text()).trimEnd().split("\n");
    expect(lines).toHaveLength(4000);
    for (const line of lines) expect(() => JSON.parse(line), line.slice(0, 200)).not.toThrow();
  });

  test("says so when the file cannot be opened", async () => {
    await expect(openAccessLog(join(tmpdir(), "no", "such", "directory", "access.log"))).rejects.toThrow("ENOENT");
  });

  test("a pipe that takes only a part, or nothing just now, gets all in the end", async () => {
    const directory = await mkdtemp(join(tmpdir(), "access-log-"));
    const path = join(directory, "pipe");
    Bun.spawnSync(["mkfifo", path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      const text = Array.from({ length: 50_000 }, (_, n) => `line ${n}\n`).join("");
      let done = false;
      const written = descriptorSink(writer)
        .write(text)
        .finally(() => {
          done = true;
        });
      let read = "";
      const piece = Buffer.alloc(50_000);
      while (read.length < text.length) {
        await Bun.sleep(1);
        try {
          read += piece.toString("latin1", 0, readSync(reader, piece));
        } catch (error) {
          if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
          if (done) break;
        }
      }
      await written;
      expect(read).toBe(text);
    } finally {
      closeSync(reader);
      closeSync(writer);
      await rm(directory, { recursive: true });
    }
  });

  test("a full pipe on the standard output does not stop the event loop", async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "stdout-child.ts")], {
      stdout: "pipe",
      stderr: "pipe",
    });
    // The child says on its standard error that its timers still run, though nobody has read a byte yet.
    const reader = child.stderr.getReader();
    const first = await reader.read();
    expect(new TextDecoder().decode(first.value)).toBe("still turning\n");
    const lines = linesOf(await new Response(child.stdout).text());
    expect(lines).toHaveLength(2000);
    expect(await child.exited).toBe(0);
  });
});
