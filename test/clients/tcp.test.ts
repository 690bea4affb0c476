/** Servers that speak no HTTP, behind a tcp service: through a port of web's sidecar, and over mutual TLS between. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/mesh.ts";
import { CalledService } from "./called-service.ts";
import { needs, run } from "./tool.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "heddle-tcp-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const [redisTitle, noRedis] = needs("redis-server", "Redis");
describe.skipIf(noRedis)(redisTitle, () => {
  let redis: Bun.Subprocess;
  let service: CalledService;

  beforeAll(async () => {
    const port = freePort();
    const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder];
    redis = Bun.spawn(["redis-server", ...options], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    service = await CalledService.start({ protocol: "tcp", port });
    await eventually(async () => expect((await cli("ping")).out).toBe("PONG\n"));
  });
  afterAll(async () => {
    await service.stop();
    redis.kill("SIGKILL");
    await redis.exited;
  });

  const cli = (...words: readonly string[]) => run(["redis-cli", "-p", String(service.boundPort), ...words]);

  test("commands, and values of megabytes", async () => {
    expect((await cli("set", "key", "a value")).out).toBe("OK\n");
    expect((await cli("get", "key")).out).toBe("a value\n");
    const value = "v".repeat(8 * 1024 * 1024);
    expect((await run(["redis-cli", "-p", String(service.boundPort), "-x", "set", "large"], value)).out).toBe("OK\n");
    expect((await cli("get", "large")).out).toBe(`${value}\n`);
  });

  test("redis-benchmark, many clients with pipelines, in bulk", async () => {
    const load = ["-n", "40000", "-c", "40", "-P", "16", "-t", "ping_mbulk,set,get", "-q", "--csv"];
    const { code, out, err } = await run(["redis-benchmark", "-p", String(service.boundPort), ...load]);
    expect([code, err]).toEqual([0, ""]);
    expect(out.match(/^"(?:PING_MBULK|SET|GET)"/gm)).toHaveLength(3);
  }, 20_000);

  test("a subscriber is told what another connection publishes", async () => {
    const command = ["redis-cli", "-p", String(service.boundPort), "--csv", "subscribe", "news"];
    const subscriber = Bun.spawn(command, { stdout: "pipe", stdin: "pipe" });
    let heard = "";
    const reading = (async () => {
      for await (const chunk of subscriber.stdout.pipeThrough(new TextDecoderStream())) heard += chunk;
    })();
    await eventually(async () => expect((await cli("publish", "news", "first")).out).toBe("1\n"));
    await cli("publish", "news", "second");
    await eventually(() => expect(heard).toContain('"message","news","second"'));
    subscriber.kill();
    await reading;
    await eventually(async () => expect((await cli("pubsub", "numsub", "news")).out).toBe("news\n0\n"));
  });
});

const [tlsTitle, noOpenssl] = needs("openssl", "TLS from end to end");
describe.skipIf(noOpenssl)(tlsTitle, () => {
  let server: Bun.Subprocess;
  let service: CalledService;
  let certificate: string;

  beforeAll(async () => {
    const port = freePort();
    const key = join(folder, "key.pem");
    certificate = join(folder, "cert.pem");
    const names = "subjectAltName=DNS:bank.example";
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const made = await run([
      "openssl",
      ...request,
      "-keyout",
      key,
      "-out",
      certificate,
      "-subj",
      "/CN=bank.example",
      "-addext",
      names,
    ]);
    expect(made.code).toBe(0);
    const serve = ["s_server", "-accept", `127.0.0.1:${port}`, "-cert", certificate, "-key", key, "-rev", "-quiet"];
    server = Bun.spawn(["openssl", ...serve], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    service = await CalledService.start({ protocol: "tcp", port });
    await eventually(async () => expect((await talk("hello")).out).toContain("olleh"));
  });
  afterAll(async () => {
    await service.stop();
    server.kill("SIGKILL");
    await server.exited;
  });

  /** Says a line by `openssl s_client`, and ends when an answer has come. */
  async function talk(line: string): Promise<{ code: number; out: string; err: string }> {
    const verify = ["-CAfile", certificate, "-verify_hostname", "bank.example", "-verify_return_error"];
    const target = ["-connect", `127.0.0.1:${service.boundPort}`, "-servername", "bank.example"];
    const client = Bun.spawn(["openssl", "s_client", "-quiet", "-no_ign_eof", ...target, ...verify], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    client.stdin.write(`${line}\n`);
    client.stdin.flush();
    const { value } = await client.stdout.getReader().read();
    client.stdin.end();
    const [err, code] = await Promise.all([client.stderr.text(), client.exited]);
    return { code, out: new TextDecoder().decode(value), err };
  }

  test("the server's own certificate reaches the client, whom the mesh shows nothing of the bytes", async () => {
    const { code, out, err } = await talk("secret");
    expect(out).toContain("terces");
    expect(code).toBe(0);
    expect(err).toContain("CN = bank.example");
  });
});

/** A port that was free a moment ago: neither server can choose one itself and tell it. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
