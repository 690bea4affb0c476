/** NATS over TLS: what `heddle up` makes of itself beyond loopback, with somebody's own certificate, and elsewhere. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { connect } from "nats";
import { createServerAuthority, createServerCertificate, servesStill } from "../../src/ca/server-certificate.ts";
import { careForServerTls, ensureServerTls, SERVER_CA_PATH } from "../../src/cli/processes/server-tls.ts";
import { connectBus, letsAnybodyIn } from "../../src/nats/connection.ts";
import { readCredentials } from "../../src/nats/credentials.ts";
import { createDirectory, type Directory, openDirectory } from "../../src/nats/directory.ts";
import { startServer } from "../../src/nats/embedded-server.ts";
import { writePrivateFile } from "../../src/nats/private-file.ts";
import { servedCertificateEnd } from "../../src/nats/served-certificate.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";
import { testAuthority } from "../support/identities.ts";
import { eventually } from "../support/mesh.ts";
import { CommandLine, TerminalRun } from "./cli-mesh.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

let root: string;
let path: string;
const running: TerminalRun[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "heddle-tls-"));
  path = join(root, "mesh");
});
afterEach(async () => {
  for (const run of running.splice(0)) {
    run.type("\u0003");
    await run.ended();
  }
  await rm(root, { recursive: true, force: true });
});

async function up(...args: string[]): Promise<{ run: TerminalRun; directory: Directory }> {
  const fixed = ["--dir", path, "--operator", "ada", "--control-listen", "127.0.0.1:0"];
  const run = new TerminalRun([process.execPath, MAIN, "up", ...fixed, ...args], process.env);
  running.push(run);
  await run.sees("Ctrl-C stops it");
  const directory = await openDirectory(path);
  if (directory === undefined) throw new Error("up left no directory");
  return { run, directory };
}

async function down(): Promise<void> {
  const run = running.pop();
  run?.type("\u0003");
  await run?.ended();
}

/** The command line of somebody else, on another machine so to speak. */
function elsewhere(): CommandLine {
  return new CommandLine(join(root, "nothing-here"));
}

test("beyond loopback there is TLS, and what is handed out brings whom to believe", async () => {
  const { directory, run } = await up("--port", "0", "--listen", "0.0.0.0", "--advertise", "localhost");
  const { url = "", publicUrl = "" } = directory.context;
  expect([url, publicUrl].map((each) => new URL(each).protocol)).toEqual(["tls:", "tls:"]);
  for (const file of ["ca.pem", "ca.key", "server.pem"]) {
    expect((await stat(join(directory.natsPath, "tls", file))).mode & 0o777).toBe(0o600);
  }
  const alice = join(root, "alice.creds");
  const line = new CommandLine(path);
  const added = await line.heddle(["operator", "add", "alice", "--role", "viewer", "--out", alice]);
  expect(added).toMatchObject({ code: 0 });
  const listed = await elsewhere().heddle(["operator", "list"], { creds: alice });
  expect(listed.stdout).toContain("alice (you)");
  expect((await readCredentials(alice)).mesh).toEqual({
    url: publicUrl,
    trustDomain: "mesh.local",
    ca: await readFile(join(directory.natsPath, "tls", "ca.pem"), "utf8"),
  });

  // Whoever does not know the authority, or would do without, gets no connection.
  const credentials = await directory.operatorCredentials();
  const quiet = { credentials, name: "test", onError: () => {} };
  await expect(connectBus({ url, ...quiet })).rejects.toThrow("does not prove who it is");
  const other = await createServerAuthority(Date.now());
  await expect(connectBus({ url, tls: { ca: other.certificate }, ...quiet })).rejects.toThrow("does not prove");
  await expect(connect({ servers: url.replace("tls:", "nats:"), reconnect: false })).rejects.toThrow();

  const seen = await line.heddle(["check"]);
  expect(seen.stdout).toMatch(/ok +the connection is encrypted +TLS/);
  expect(seen.stdout).toMatch(/ok +its certificate is good for long +ends in 364d/);

  // Nothing that others could read, and no secret on the terminal.
  const files = await readdir(path, { recursive: true });
  const modes = await Promise.all(
    files.map(async (file) => [file, (await stat(join(path, file))).mode & 0o077] as const),
  );
  expect(modes.filter(([, others]) => others !== 0)).toEqual([]);
  expect(run.shown).not.toMatch(/S[UAOX][A-Z2-7]{50}|eyJ|PRIVATE KEY/);

  // The next run is the same without being told; and its authority too.
  await down();
  const again = await up();
  expect(again.directory.context).toEqual(directory.context);
  expect((await elsewhere().heddle(["operator", "list"], { creds: alice })).stdout).toContain("alice (you)");
});

test("on loopback there is TLS with somebody's own certificate", async () => {
  const authority = await createServerAuthority(Date.now());
  const own = await createServerCertificate(authority, ["localhost"], Date.now());
  const files = { ca: join(root, "ca.pem"), cert: join(root, "cert.pem"), key: join(root, "key.pem") };
  await writePrivateFile(files.ca, authority.certificate);
  await writePrivateFile(files.cert, own.certificate);
  await writePrivateFile(files.key, own.key);
  const tls = ["--tls-ca", files.ca, "--tls-cert", files.cert, "--tls-key", files.key];
  const { directory } = await up("--port", "0", "--advertise", "localhost", ...tls);
  expect(directory.context.url).toStartWith("tls://localhost:");
  expect((await new CommandLine(path).heddle(["operator", "list"])).stdout).toContain("ada (you)");

  // Somebody else's server, as another directory sees it: remembered with whom to believe.
  const creds = ["--nats-url", directory.context.url ?? "", "--creds", join(path, "creds", "operator.creds")];
  expect((await elsewhere().heddle(["log", ...creds])).stderr).toContain("does not prove who it is");
  expect((await elsewhere().heddle(["log", ...creds, "--tls-ca", files.ca])).code).toBe(0);
});

test("a client that asks for TLS does not make do without", async () => {
  const { directory } = await up("--port", "0");
  const credentials = await directory.operatorCredentials();
  const url = directory.context.url?.replace("nats:", "tls:") ?? "";
  const connecting = connectBus({ url, credentials, name: "test", onError: () => {} });
  await expect(connecting).rejects.toThrow("does not speak TLS, which was asked for");
});

test("a server that is somebody else's is remembered, until one of ours is asked for", async () => {
  const { directory } = await up("--port", "0");
  const { url = "" } = directory.context;
  const other = join(root, "other");
  // The same keys, as a directory on another machine would have them.
  await Bun.$`cp -r ${path} ${other}`.quiet();
  await rm(join(other, "nats", "lock"));
  const line = new CommandLine(other);
  const start = async (...args: string[]): Promise<string> => {
    const fixed = ["--dir", other, "--control-listen", "127.0.0.1:0"];
    const run = new TerminalRun([process.execPath, MAIN, "up", ...fixed, ...args], process.env);
    await run.sees("Ctrl-C stops it");
    run.type("\u0003");
    await run.ended();
    return (await openDirectory(other))?.context.url ?? "";
  };
  expect(await start("--nats-url", url)).toBe(url);
  expect(await start()).toBe(url);
  expect((await line.heddle(["log"])).code).toBe(0);
  const refused = await line.heddle(["up", "--nats-url", "nats://127.0.0.1:1"]);
  expect(refused.stderr).toContain("nats://127.0.0.1:1 is out of reach");
  expect((await openDirectory(other))?.context.url).toBe(url);
  expect(await start("--port", "0")).not.toBe(url);
});

test("options that do not go together are refused before anything starts", async () => {
  const line = new CommandLine(path);
  const cases: [string[], string][] = [
    [["--nats-url", "nats://a:1", "--listen", "0.0.0.0"], "--nats-url is a server that runs already"],
    [["--listen", "0.0.0.0:4222"], "'0.0.0.0:4222' is no host name and no address"],
    [["--tls-cert", "a.pem"], "--tls-cert and --tls-key belong together"],
    [["--tls-ca", "/nowhere.pem"], "--tls-ca: /nowhere.pem: there is no such file"],
    [["--tls-ca", MAIN], "holds no CERTIFICATE in PEM"],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await line.heddle(["up", ...args]);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  }
});

test("a server that runs takes up a new certificate, which is believed as the former one was", async () => {
  const directory = await createDirectory(path, { trustDomain: "mesh.local", operator: "ada" });
  await directory.remember({ tls: { ca: SERVER_CA_PATH } });
  const tls = await ensureServerTls(directory, []);
  const server = await startServer({ directory, binary: await findServerBinary(process.env), tls });
  const address = { url: server.url, ...{ tls: (await directory.tls()) ?? {} } };
  const bus = await connectBus({
    ...address,
    credentials: await directory.operatorCredentials(),
    name: "t",
    onError: () => {},
  });
  const before = await readFile(tls.certFile, "utf8");
  const renewed = Promise.withResolvers<void>();
  // As good as near its end: it lacks a name.
  const advertised = ["another.name"];
  const end = careForServerTls({
    directory,
    advertised,
    renewed: renewed.resolve,
    failed: renewed.reject,
    intervalMs: 10,
  });
  await renewed.promise;
  end();
  server.reload();
  const wanted = new X509Certificate(await readFile(tls.certFile, "utf8")).fingerprint256;
  expect(wanted).not.toBe(new X509Certificate(before).fingerprint256);
  await eventually(async () => expect(await servedCertificate(server.url)).toBe(wanted), 30_000);
  // The server may drop whoever is connected; who comes back is let in with what was known before.
  await eventually(() => bus.flush(), 30_000);
  await bus.close();
  await server.stop();
});

test("a server that wants to see a certificate is shown one", async () => {
  const authority = await testAuthority("nats");
  const own = await authority.issue("nats", { uris: [], ipAddresses: ["127.0.0.1"] });
  const file = join(root, "own.pem");
  const ca = join(root, "ca.pem");
  await writePrivateFile(file, own.certificateChain + own.privateKey);
  await writePrivateFile(ca, authority.rootPem);
  const config = join(root, "server.conf");
  const tls = { cert_file: file, key_file: file, ca_file: ca, verify: true };
  await writePrivateFile(config, JSON.stringify({ listen: "127.0.0.1:-1", ports_file_dir: root, tls }));
  const { path: binary } = await findServerBinary(process.env);
  const server = Bun.spawn([binary, "-c", config], { stdout: "ignore", stderr: "ignore" });
  try {
    let url = "";
    await eventually(async () => {
      const ports = (await readdir(root)).find((name) => name.endsWith(".ports")) ?? "none";
      url = /tls:[^"]+/.exec(await readFile(join(root, ports), "utf8"))?.[0] ?? "";
      expect(url).not.toBe("");
    }, 30_000);
    // It is of no mesh, so whoever has a certificate comes in.
    const shown = { ca: authority.rootPem, cert: own.certificateChain, key: own.privateKey };
    expect(await letsAnybodyIn({ url, tls: shown })).toBe(true);
    expect(await servedCertificateEnd({ url, tls: shown })).toBeGreaterThan(Date.now());
    await expect(letsAnybodyIn({ url, tls: { ca: authority.rootPem } })).rejects.toThrow("127.0.0.1");
  } finally {
    server.kill();
    await server.exited;
  }
});

/** SHA-256 of the certificate that a NATS server shows, once it has said who it is in the clear. */
async function servedCertificate(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const plain = createConnection(Number(port), hostname);
  await new Promise((resolve, reject) => plain.once("data", resolve).once("error", reject));
  const secure = connectTls({ socket: plain, rejectUnauthorized: false });
  await new Promise((resolve, reject) => secure.once("secureConnect", resolve).once("error", reject));
  const { fingerprint256 } = secure.getPeerCertificate();
  secure.destroy();
  return fingerprint256;
}

test("a server certificate is kept while it names every host, and is far from its end", async () => {
  const nowMs = Date.now();
  const authority = await createServerAuthority(nowMs);
  const hosts = ["mesh.internal", "192.0.2.7", "fd00::2"];
  const { certificate } = await createServerCertificate(authority, hosts, nowMs);
  const dayMs = 86_400_000;
  expect(servesStill(certificate, { authority, hosts, nowMs })).toBe(true);
  expect(servesStill(certificate, { authority, hosts: ["MESH.internal", "fd00:0::2"], nowMs })).toBe(true);
  expect(servesStill(certificate, { authority, hosts: [...hosts, "192.0.2.8"], nowMs })).toBe(false);
  expect(servesStill(certificate, { authority, hosts, nowMs: nowMs + 300 * dayMs })).toBe(false);
  expect(servesStill(certificate, { authority: await createServerAuthority(nowMs), hosts, nowMs })).toBe(false);
  expect(servesStill("no certificate", { authority, hosts, nowMs })).toBe(false);
});
