/**
 * Calls that never pause while something happens to a mesh: HTTP/1.1, gRPC, and TCP both over new connections and over
 * one that stays. Whatever fails is kept, in words.
 */

import { connect, type Socket } from "node:net";
import { type NodeChild, startNode } from "../clients/node-child.ts";

export interface LoadTargets {
  /** Outbound listener of the calling sidecar. */
  readonly outboundPort: number;
  /** Host of the HTTP/1.1 service, and authority of the gRPC service. */
  readonly http: string;
  readonly grpc: string;
  /** Local port of the TCP service, which echoes. */
  readonly tcpPort: number;
}

export type Kind = "http" | "grpc" | "tcp" | "tunnel";

/** Between two calls of a kind: a slow machine is to carry this beside the mesh. */
const PAUSE_MS = 5;

export class ConstantLoad {
  readonly failures: string[] = [];
  readonly done: Record<Kind, number> = { http: 0, grpc: 0, tcp: 0, tunnel: 0 };
  #running = true;
  #loops: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly targets: LoadTargets,
    private readonly grpc: NodeChild,
    private readonly tunnel: Socket,
  ) {}

  static async start(targets: LoadTargets): Promise<ConstantLoad> {
    const grpc = await startNode("grpc-client.mjs", String(targets.outboundPort), targets.grpc);
    const load = new ConstantLoad(targets, grpc, connect(targets.tcpPort, "127.0.0.1"));
    load.#loops = Promise.all([
      load.#loop("http", () => load.#http()),
      load.#loop("grpc", () => load.#grpc()),
      load.#loop("tcp", () => load.#tcp()),
      load.#loop("tunnel", () => echo(load.tunnel)),
    ]);
    return load;
  }

  /** Resolves when every kind of call has been made once more since now. */
  async another(): Promise<void> {
    const before = { ...this.done };
    const kinds: Kind[] = ["http", "grpc", "tcp", "tunnel"];
    while (this.failures.length === 0 && kinds.some((kind) => this.done[kind] <= before[kind]))
      await Bun.sleep(PAUSE_MS);
  }

  /** Resolves when the last call has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    await this.#loops;
    this.tunnel.destroy();
    await this.grpc.kill();
  }

  async #loop(kind: Kind, call: () => Promise<void>): Promise<void> {
    while (this.#running) {
      try {
        await call();
        this.done[kind]++;
      } catch (error) {
        this.failures.push(`${kind}: ${error instanceof Error ? error.message : String(error)}`);
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  async #http(): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.targets.outboundPort}/`, {
      headers: { host: this.targets.http },
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  }

  async #grpc(): Promise<void> {
    const codes = JSON.stringify(await this.grpc.ask({ kind: "many", count: 2, size: 10 }));
    if (codes !== '{"0":2}') throw new Error(`codes ${codes}`);
  }

  async #tcp(): Promise<void> {
    const socket = connect(this.targets.tcpPort, "127.0.0.1");
    await echo(socket);
    socket.destroy();
  }
}

/** Says something, and resolves when it has come back. */
function echo(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      end();
    };
    const onData = (): void => settle(resolve);
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void => settle(() => reject(new Error("closed")));
    socket.once("data", onData).once("error", onError).once("close", onClose);
    socket.write("ping");
  });
}
