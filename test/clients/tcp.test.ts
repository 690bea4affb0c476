/** Servers that speak no HTTP, behind a tcp service: through a port of web's sidecar, and over mutual TLS between. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CalledService } from "../support/called-service.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/mesh.ts";
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

const [postgresTitle, noPostgres] = needs("initdb", "PostgreSQL");
describe.skipIf(noPostgres)(postgresTitle, () => {
  let server: Bun.Subprocess;
  let service: CalledService;
  /** PostgreSQL refuses to be root: then its own user runs it, as Debian's package has made it. */
  const asOwner = process.getuid?.() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];

  beforeAll(async () => {
    const data = join(folder, "postgres");
    await mkdir(data, { mode: 0o700 });
    if (asOwner.length > 0) {
      expect((await run(["chown", "postgres:postgres", data])).code).toBe(0);
      expect((await run(["chmod", "a+x", folder])).code).toBe(0);
    }
    const initialised = await run([...asOwner, "initdb", "-D", data, "-U", "heddle", "--auth=trust", "--no-sync"]);
    expect([initialised.err, initialised.code]).toEqual(["", 0]);
    const port = freePort();
    const options = ["-p", String(port), "-h", "127.0.0.1", "-k", data, "-F"];
    server = Bun.spawn([...asOwner, "postgres", "-D", data, ...options], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    service = await CalledService.start({ protocol: "tcp", port });
    await eventually(async () => expect((await psql("select 1")).out).toBe("1\n"), 20_000);
  }, 60_000);
  afterAll(async () => {
    await service.stop();
    server.kill("SIGINT");
    await server.exited;
  });

  const target = (): string[] => ["-h", "127.0.0.1", "-p", String(service.boundPort), "-U", "heddle"];
  const psql = (sql: string) => run(["psql", "-X", "-A", "-t", ...target(), "-d", "postgres"], sql);

  test("statements, errors, and a copy of megabytes in both directions", async () => {
    expect((await psql("create table t (n int primary key, pad text); select 1/0;")).err).toContain("division by zero");
    const rows = Array.from({ length: 40_000 }, (_, n) => `${n}\t${"p".repeat(100)}\n`).join("");
    expect((await psql(`copy t from stdin;\n${rows}\\.\nselect count(*), sum(n) from t;`)).out).toContain(
      "40000|799980000",
    );
    expect((await psql("copy t to stdout")).out).toBe(rows);
  });

  test("the server speaks without being asked: a notification", async () => {
    const { out } = await psql("listen news; notify news, 'first'; select 1;");
    expect(out).toContain('"news" with payload "first"');
  });

  test("a query is cancelled over a connection of its own", async () => {
    const child = Bun.spawn(["psql", "-X", ...target(), "-d", "postgres", "-c", "select pg_sleep(600)"], {
      stdout: "ignore",
      stderr: "pipe",
    });
    const sleeping = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'";
    await eventually(async () => expect((await psql(sleeping)).out).toBe("1\n"));
    child.kill("SIGINT");
    expect(await child.stderr.text()).toContain("canceling statement due to user request");
    await child.exited;
  });

  const [loadTitle, noPgbench] = needs("pgbench", "pgbench, transactions of eight clients at once");
  test.skipIf(noPgbench)(loadTitle, async () => {
    expect((await run(["pgbench", ...target(), "-i", "-q", "postgres"])).code).toBe(0);
    const { out, code } = await run(["pgbench", ...target(), "-c", "8", "-t", "50", "postgres"]);
    expect(out).toContain("number of transactions actually processed: 400/400");
    expect(code).toBe(0);
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
