/** The nats-server that `heddle up` runs: its configuration, its life, and the directory that it owns meanwhile. */

import { chmod, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { connectBus } from "./connection.ts";
import type { Directory } from "./directory.ts";
import { publicKeyOf } from "./keys.ts";
import { makePrivateDirectory, readIfPresent, writePrivateFile } from "./private-file.ts";
import { LockHeld, type ProcessLock, takeLock } from "./process-lock.ts";
import { type ServerBinary, versionAtLeast } from "./server-binary.ts";
import { isAccountJwt, type NatsTrust } from "./trust.ts";

/** Largest message: a command that applies some 10,000 documents. nats-server itself warns above 8 MiB. */
const PAYLOAD_BYTES_MAX = 8 * 1024 * 1024;
/** A log file is rotated at this size. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** Rotated logs kept from earlier runs: 2.9 rotates but never deletes. */
const ROTATED_LOGS_MAX = 3;
/** Opening a large store means reading its index, so start-up is given time. */
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 25;
/** For a handshake, in seconds; a machine that starts a whole mesh may be slow at first. */
const TLS_TIMEOUT_S = 5;
/** From SIGTERM to SIGKILL. A lame duck would be gentler to many clients, but lasts 30 s at least. */
const STOP_TIMEOUT_MS = 10_000;

export interface ServerOptions {
  readonly directory: Directory;
  readonly binary: ServerBinary;
  /** Loopback by default. */
  readonly host?: string;
  /** Under which name or address clients on this machine find it; what it listens on by default. */
  readonly connectHost?: string;
  /** Absent: no TLS, which is for loopback alone. Credentials are checked either way. */
  readonly tls?: ServerTlsFiles;
  /** The last port by default; where there was none, one that the system picks. */
  readonly port?: number;
}

/** PEM files of the server's own certificate and key. */
export interface ServerTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** How the server ended: by `stop()` or on its own. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly requested: boolean;
}

/** A server that runs. */
export interface EmbeddedServer {
  readonly url: string;
  readonly pid: number;
  /** Settles when the process has ended, for whatever reason. */
  readonly exited: Promise<ServerExit>;
  /** Has it take up its certificate again, whose file has changed. Connections may be dropped, and come back. */
  reload(): void;
  /** SIGTERM, and SIGKILL if that does not end it. */
  stop(): Promise<void>;
}

/**
 * Starts nats-server on a directory and waits until JetStream answers. Rejects when another process has the
 * directory (naming its pid), and when the server ends or does not answer in time (with the end of its log).
 */
export async function startServer(options: ServerOptions): Promise<EmbeddedServer> {
  const { directory } = options;
  const trust = await directory.trust();
  await makePrivateDirectory(directory.natsPath);
  const lock = await lockDirectory(directory);
  try {
    await sweep(directory.natsPath);
    const configPath = join(directory.natsPath, "server.conf");
    await writePrivateFile(configPath, serverConfig(options, trust, await knownAccounts(directory, trust)));
    return await launch(options, configPath, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function launch(options: ServerOptions, configPath: string, lock: ProcessLock): Promise<EmbeddedServer> {
  const { directory, binary } = options;
  const child = withPrivateFiles(() =>
    Bun.spawn([binary.path, "--config", configPath], {
      stdin: "ignore",
      stdout: "ignore",
      // What comes before the log is open (a bad configuration) and after all hope (a panic).
      stderr: Bun.file(join(directory.natsPath, "server.stderr")),
      // Its own process group: Ctrl-C is for us, and we stop the server when those who need it have drained.
      detached: true,
    }),
  );
  await lock.handTo(child.pid);
  let requested = false;
  const exited = child.exited.then(async (): Promise<ServerExit> => {
    await lock.release();
    return { code: child.exitCode, signal: child.signalCode === null ? null : String(child.signalCode), requested };
  });
  const stop = async (): Promise<void> => {
    requested = true;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  };
  try {
    const url = await untilReady(options, child);
    await directory.remember({ url });
    return { url, pid: child.pid, exited, stop, reload: () => child.kill("SIGHUP") };
  } catch (cause) {
    await stop();
    const tail = await logTail(directory.natsPath);
    throw new Error(`nats-server did not start: ${(cause as Error).message}${tail}`, { cause });
  }
}

/** Whatever the process that is started here writes, its log and its store, is for its owner alone. */
function withPrivateFiles<T>(start: () => T): T {
  const before = process.umask(0o077);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}

/**
 * A server whose `heddle up` was killed goes on running, so that sidecars still reach it, but nobody would start it
 * again: it is stopped, and the directory taken over.
 */
async function lockDirectory(directory: Directory): Promise<ProcessLock> {
  const startedMs = performance.now();
  for (;;) {
    try {
      return await takeLock(join(directory.natsPath, "lock"));
    } catch (error) {
      if (!(error instanceof LockHeld)) throw error;
      const { pid, isOrphan } = error;
      if (!isOrphan) {
        throw new Error(`${directory.path} is in use by process ${pid}; stop that one first (kill ${pid})`, {
          cause: error,
        });
      }
      signalProcess(pid, performance.now() - startedMs < STOP_TIMEOUT_MS ? "SIGTERM" : "SIGKILL");
      await Bun.sleep(READY_POLL_MS);
    }
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended meanwhile, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** nats-server's configuration format is a superset of JSON. */
function serverConfig(
  { directory, binary, host = "127.0.0.1", port, tls }: ServerOptions,
  trust: NatsTrust,
  accounts: Readonly<Record<string, string>>,
): string {
  const config = {
    server_name: "heddle",
    // -1: any free port; the ports file tells which.
    listen: `${host.includes(":") ? `[${host}]` : host}:${port ?? lastPort(directory) ?? -1}`,
    ports_file_dir: directory.natsPath,
    ...(tls === undefined ? {} : { tls: { cert_file: tls.certFile, key_file: tls.keyFile, timeout: TLS_TIMEOUT_S } }),
    max_payload: PAYLOAD_BYTES_MAX,
    log_file: join(directory.natsPath, "server.log"),
    logfile_size_limit: LOG_BYTES_MAX,
    jetstream: {
      store_dir: join(directory.natsPath, "store"),
      // An acknowledged change is on the disk, not only in the page cache: it then survives a loss of power, too.
      // Before
      // 2.10 the server syncs every two minutes and cannot be told otherwise; it does survive its own death.
      ...(versionAtLeast(binary.version, 2, 10) ? { sync_interval: "always" } : {}),
    },
    operator: trust.operator.jwt,
    system_account: publicKeyOf(trust.system.seed),
    // One that takes news of the accounts while it runs, and keeps them: revocations arrive so.
    resolver: { type: "full", dir: accountsPath(directory), allow_delete: false, interval: "2m" },
    resolver_preload: accounts,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Where the server keeps what it is told of the accounts: `<public key>.jwt`. */
function accountsPath({ natsPath }: Directory): string {
  return join(natsPath, "accounts");
}

/**
 * The accounts' JWTs by public key: what the server was told last, else what the mesh began with. Were it to start with
 * the latter, it would forget revocations that are no more than a second younger.
 */
async function knownAccounts(directory: Directory, trust: NatsTrust): Promise<Record<string, string>> {
  const known: Record<string, string> = {};
  for (const { seed, jwt } of [trust.system, trust.control, trust.clients]) {
    const publicKey = publicKeyOf(seed);
    const told = (await readIfPresent(join(accountsPath(directory), `${publicKey}.jwt`))) ?? "";
    // Cut short by a loss of power, it is as good as none.
    known[publicKey] = isAccountJwt(told.trim(), publicKey) ? told.trim() : jwt;
  }
  return known;
}

function lastPort(directory: Directory): number | undefined {
  const { url } = directory.context;
  return url === undefined ? undefined : Number(new URL(url).port);
}

/** Resolves with the server's URL once a control user gets an answer from JetStream. */
async function untilReady({ directory, connectHost }: ServerOptions, child: Bun.Subprocess): Promise<string> {
  const credentials = await directory.controlCredentials();
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      const url = atHost(await listeningUrl(directory.natsPath, child.pid), connectHost);
      const tls = await directory.tls();
      const server = { url, ...(tls === undefined ? {} : { tls }) };
      const bus = await connectBus({ ...server, credentials, name: "readiness", onError: () => {} });
      await bus.client.jetstreamManager().finally(() => bus.close());
      return url;
    } catch (cause) {
      if (performance.now() > deadline) throw new Error(`no answer after ${READY_TIMEOUT_MS / 1000} s`, { cause });
    }
    await Promise.race([child.exited, Bun.sleep(READY_POLL_MS)]);
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it ended at once");
  }
}

/** The server writes its listeners to `<program>_<pid>.ports` once it accepts connections. */
async function listeningUrl(natsPath: string, pid: number): Promise<string> {
  const file = (await readdir(natsPath)).find((name) => name.endsWith(`_${pid}.ports`));
  if (file === undefined) throw new Error("it is not listening");
  const url = /(?:nats|tls):\/\/[^"\s]+/.exec(await readFile(join(natsPath, file), "utf8"))?.[0];
  if (url === undefined) throw new Error(`${file} names no listener`);
  return url;
}

/** The same server under another name or address. */
function atHost(url: string, host: string | undefined): string {
  if (host === undefined) return url;
  const { protocol, port } = new URL(url);
  return `${protocol}//${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Clears what earlier runs left: ports files of servers that were killed, and all but the last rotated logs. */
async function sweep(natsPath: string): Promise<void> {
  const names = await readdir(natsPath);
  const ports = names.filter((name) => name.endsWith(".ports"));
  // Rotated logs carry their time in the name, so that they sort by age.
  const rotated = names.filter((name) => name.startsWith("server.log.")).sort();
  for (const name of [...ports, ...rotated.slice(0, -ROTATED_LOGS_MAX)]) {
    await rm(join(natsPath, name), { force: true });
  }
  // Earlier versions left the log to the user's umask.
  await chmod(join(natsPath, "server.log"), 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}

async function logTail(natsPath: string): Promise<string> {
  const [log, stderr] = await Promise.all(
    ["server.log", "server.stderr"].map((name) => readFile(join(natsPath, name), "utf8").catch(() => "")),
  );
  const complaints = (log ?? "").split("\n").filter((line) => /\[(?:ERR|FTL)\]/.test(line));
  const lines = [...complaints.slice(-5), ...(stderr ?? "").trim().split("\n").slice(0, 5)].filter(
    (line) => line !== "",
  );
  return lines.length === 0 ? "" : `\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
