/**
 * A service whose instances have no sidecar: they take HTTP/2 in plaintext, answer as a script says, and can do what no
 * application can have its sidecar do (refuse a stream, reset it). To be declared with `mtls: disabled`.
 */

import { subjects } from "../../src/nats/subjects.ts";
import type { EndpointSet } from "../../src/projections/snapshot.ts";
import type { RequestHead, ResponseHead, ServerStream, StreamListener } from "../../src/proxy/codec/message.ts";
import { headerValue } from "../../src/proxy/headers.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/proxy/limits.ts";
import { clustersOf } from "./calling-web.ts";
import { listenHttp2 } from "./http2-sockets.ts";
import { eventually, type TestMesh, type TestSidecar } from "./mesh.ts";

/** What one request is answered with: a response without a body, or something else than a response. */
export type BareAnswer =
  | { readonly status: number; readonly headers?: readonly string[] }
  /** Refused stream; internal error; not at all; a head, and then no more. */
  | "refuse"
  | "reset"
  | "nothing"
  | "begin";

export interface BareRequest {
  /** Number of the instance. */
  readonly instance: number;
  readonly path: string;
  readonly field: (name: string) => string | undefined;
  bodyBytes: number;
  /** The caller gave it up. */
  abandoned: boolean;
  readonly atMs: number;
}

const OK: BareAnswer = { status: 200 };

export class BareService {
  readonly requests: BareRequest[] = [];
  /** Answers of the requests to come, whichever instance they come to; 200 when there are no more. */
  script: (BareAnswer | (() => BareAnswer))[] = [];
  /** That were opened, by all callers together. */
  connections = 0;
  readonly #listeners: { readonly port: number; stop(close: boolean): void }[] = [];
  #version = 0;

  constructor(
    readonly name: string,
    instances: number,
    limits: Partial<Limits> = {},
  ) {
    for (let instance = 0; instance < instances; instance++) {
      const accept = (stream: ServerStream): StreamListener<RequestHead> => this.#serve(instance, stream);
      const onConnection = (): void => void this.connections++;
      this.#listeners.push(listenHttp2(accept, { ...DEFAULT_LIMITS, ...limits }, onConnection));
    }
  }

  get ports(): readonly number[] {
    return this.#listeners.map(({ port }) => port);
  }

  /** Tells a caller where the instances are, and others that it should take for instances; resolves when it knows. */
  async publish(mesh: TestMesh, caller: TestSidecar, others: readonly number[] = []): Promise<void> {
    const endpoints = [...this.ports, ...others].map((port, number) => ({
      instance: `${this.name}-${number}`,
      host: "127.0.0.1",
      port,
      labels: {},
    }));
    const set: EndpointSet = { namespace: "shop", name: this.name, version: ++this.#version, endpoints };
    await eventually(async () => {
      // It may not listen yet: a set that it has already is dropped.
      mesh.control.publish(subjects.endpoints("shop", this.name), new TextEncoder().encode(JSON.stringify(set)));
      const clusters = await clustersOf(caller);
      if (clusters.find(({ service }) => service === `shop/${this.name}`)?.version !== this.#version) {
        throw new Error(`nobody knows where ${this.name} is`);
      }
    });
  }

  stop(): void {
    for (const listener of this.#listeners) listener.stop(true);
  }

  #serve(instance: number, stream: ServerStream): StreamListener<RequestHead> {
    let request: BareRequest | undefined;
    const answer = (): void => {
      const line = this.script.shift() ?? OK;
      const next = typeof line === "function" ? line() : line;
      if (next === "refuse") stream.reset({ kind: "refused", detail: "test" });
      else if (next === "reset") stream.reset({ kind: "protocol-error", detail: "test" });
      else if (next === "begin") stream.sendHead(headOf({ status: 200 }, undefined), false);
      else if (next !== "nothing") stream.sendHead(headOf(next, 0), true);
    };
    return {
      onHead: ({ path, headers }, end) => {
        const field = (name: string): string | undefined => headerValue(headers, name);
        request = { instance, path, field, bodyBytes: 0, abandoned: false, atMs: performance.now() };
        this.requests.push(request);
        if (end) answer();
      },
      onInformational() {},
      onData(chunk, end) {
        if (request !== undefined) request.bodyBytes += chunk.length;
        if (end) answer();
      },
      onTrailers: answer,
      onDrain() {},
      onFault() {
        if (request !== undefined) request.abandoned = true;
      },
    };
  }
}

function headOf(
  { status, headers = [] }: { readonly status: number; readonly headers?: readonly string[] },
  contentLength: number | undefined,
): ResponseHead {
  return { status, headers: [...headers], contentLength, version: "2" };
}
