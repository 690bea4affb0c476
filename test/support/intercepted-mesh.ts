/**
 * A mesh of hosts that are network namespaces: interception is installed in each, its sidecar runs as one user, its
 * applications as another. Control plane and NATS stay on this machine's loopback; the hub has a relay to them.
 */

import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeCredentials } from "../../src/nats/credentials.ts";
import { TestMesh } from "./mesh.ts";
import { type Host, type HostChild, Network } from "./namespaces.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");
const APP = join(import.meta.dir, "namespace-app.mjs");
const NATS_PORT = 4222;

export const SIDECAR_USER = 31_337;
export const APP_USER = 31_338;

export interface HttpAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly error?: string;
}

export interface SocketAnswer {
  readonly received?: string;
  readonly error?: string;
}

export interface TlsAnswer extends SocketAnswer {
  /** SHA-256, of the certificate that the client saw. */
  readonly fingerprint?: string;
}

export class InterceptedMesh<const N extends string> {
  private constructor(
    readonly mesh: TestMesh,
    readonly network: Network,
    readonly hosts: Record<N, Host>,
    private readonly folder: string,
    private readonly natsSocket: Server,
  ) {}

  static async start<const N extends string>(names: readonly N[]): Promise<InterceptedMesh<N>> {
    const mesh = await TestMesh.start();
    const { network, hosts } = await Network.create(names);
    const folder = await mkdtemp(join(tmpdir(), "heddle-hosts-"));
    // Others than root keep their state below it.
    await chmod(folder, 0o755);
    const natsPort = Number(new URL(mesh.nats.url).port);
    const socketPath = join(folder, "nats.sock");
    const natsSocket = createServer((socket) => {
      const onward = createConnection(natsPort, "127.0.0.1");
      for (const end of [socket, onward]) end.on("error", () => [socket, onward].map((one) => one.destroy()));
      socket.pipe(onward).pipe(socket);
    }).listen(socketPath);
    await once(natsSocket, "listening");
    await chmod(socketPath, 0o666);
    const started = new InterceptedMesh(mesh, network, hosts, folder, natsSocket);
    await started.serve(network.hub, ["relay", network.hub.ipv4, `${NATS_PORT}`, socketPath]);
    return started;
  }

  /** Starts a server on a host; resolves when it listens. */
  async serve(host: Host, args: readonly string[]): Promise<HostChild> {
    const child = host.start([process.execPath, APP, ...args], { user: APP_USER });
    await firstWord(child);
    return child;
  }

  /** Calls from a host, as its application does: with plain sockets. */
  async http(host: Host, url: string): Promise<HttpAnswer> {
    return this.#call(host, ["http", url]) as Promise<HttpAnswer>;
  }

  async tcp(host: Host, to: string, port: number, text?: string, user = APP_USER): Promise<SocketAnswer> {
    const args = ["tcp", to, `${port}`, ...(text === undefined ? [] : [text])];
    return this.#call(host, args, user) as Promise<SocketAnswer>;
  }

  /** In TLS, by the server's name. */
  async tls(host: Host, to: string, port: number): Promise<TlsAnswer> {
    return this.#call(host, ["tls", to, `${port}`]) as Promise<TlsAnswer>;
  }

  async udp(host: Host, to: string, port: number, text: string): Promise<SocketAnswer> {
    return this.#call(host, ["udp", to, `${port}`, text]) as Promise<SocketAnswer>;
  }

  /** `heddle …` on a host, as root. */
  heddle(host: Host, ...args: string[]): Promise<string> {
    return host.run([process.execPath, MAIN, ...args]);
  }

  /** Starts a sidecar as its user; resolves when it listens. */
  async startSidecar(
    host: Host,
    service: string,
    { port, args = [], advertise = host.ipv4 }: { port: number; args?: readonly string[]; advertise?: string },
  ): Promise<HostChild> {
    const [namespace = "", name = ""] = service.split("/");
    const folder = join(this.folder, name);
    await mkdir(folder, { recursive: true });
    const creds = join(folder, "sidecar.creds");
    await writeCredentials(creds, await this.mesh.nats.mintService(namespace, name));
    for (const path of [folder, creds]) await chown(path, SIDECAR_USER, SIDECAR_USER);
    const child = host.start(
      [
        ...[process.execPath, MAIN, "sidecar", "--intercept", "--service", service, "--app", `127.0.0.1:${port}`],
        ...["--nats-url", `nats://${this.network.hub.ipv4}:${NATS_PORT}`, "--creds", creds],
        ...["--state-dir", join(folder, "state"), "--advertise", advertise, "--instance", name, ...args],
      ],
      { user: SIDECAR_USER },
    );
    void new Response(child.stdout).text();
    await sees(child.stderr, "sidecar listening");
    return child;
  }

  async stop(): Promise<void> {
    await this.network.destroy();
    this.natsSocket.close();
    await this.mesh.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #call(host: Host, args: readonly string[], user = APP_USER): Promise<unknown> {
    return JSON.parse(await host.run([process.execPath, APP, ...args], { user }));
  }
}

/** Resolves with what comes behind the first word, which says that the program is ready. */
export async function firstWord(child: HostChild): Promise<ReadableStream<Uint8Array>> {
  const [first, rest] = child.stdout.tee();
  await sees(first, "ready");
  return rest;
}

/** Resolves when a text stands in the stream, which is read on behind it; rejects when it ended without. */
async function sees(stream: ReadableStream<Uint8Array>, text: string): Promise<void> {
  const seen = Promise.withResolvers<void>();
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder();
    let all = "";
    for await (const chunk of stream) {
      // Once it was seen, nobody reads what follows.
      if (all.includes(text)) continue;
      all += decoder.decode(chunk, { stream: true });
      if (all.includes(text)) seen.resolve();
    }
    seen.reject(new Error(`ended without saying ${text}: ${all}`));
  };
  void read();
  return seen.promise;
}
