/**
 * Whether the application beside us can take traffic: asked again and again, so that an instance whose application is
 * not there yet, or no longer, is not offered to callers. The application may start before its sidecar or after it.
 */

import type { RequestHead, ResponseHead, StreamListener } from "../codec/message.ts";
import type { Address } from "../io/listener.ts";
import type { Pool, PoolWaiter } from "../upstream/pool.ts";

/**
 * How the application is asked:
 * - `tcp`: it takes a connection; the default, which every application answers.
 * - `http`: GET of a path is answered with 2xx or 3xx.
 * - `grpc`: the standard health service (`grpc.health.v1.Health/Check`) says SERVING.
 * - `none`: it is not asked, and taken to be well.
 */
export type HealthCheck = { readonly kind: "none" | "tcp" | "grpc" } | { readonly kind: "http"; readonly path: string };

const HEALTHY_EVERY_MS = 2_000;
const UNHEALTHY_EVERY_MS = 500;
const ANSWER_WITHIN_MS = 2_000;
/** One lost answer takes no instance out of the mesh. */
const FAILURES_UNTIL_UNHEALTHY = 2;

export interface AppHealthOptions {
  readonly check: HealthCheck;
  readonly address: Address;
  /** For `grpc`: connections that speak HTTP/2. */
  readonly grpc: Pool;
  /** Told the first verdict, and whenever it changes. */
  readonly onChange: (healthy: boolean, reason: string) => void;
}

export class AppHealth {
  readonly #options: AppHealthOptions;
  #healthy: boolean;
  #reason = "not asked yet";
  #judged = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  readonly #first = Promise.withResolvers<void>();

  constructor(options: AppHealthOptions) {
    this.#options = options;
    this.#healthy = options.check.kind === "none";
    if (this.#healthy) this.#first.resolve();
    else void this.#ask();
  }

  get healthy(): boolean {
    return this.#healthy;
  }

  /** Why it is not healthy, in words. */
  get reason(): string {
    return this.#reason;
  }

  /** The application has been healthy once. */
  get firstHealthy(): Promise<void> {
    return this.#first.promise;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    const failure = await probe(this.#options).catch((error: unknown) => String(error));
    if (this.#stopped) return;
    this.#failures = failure === undefined ? 0 : this.#failures + 1;
    if (failure !== undefined) this.#reason = failure;
    const healthy = failure === undefined || (this.#healthy && this.#failures < FAILURES_UNTIL_UNHEALTHY);
    if (healthy) this.#first.resolve();
    if (healthy !== this.#healthy || !this.#judged) {
      this.#judged = true;
      this.#healthy = healthy;
      this.#options.onChange(healthy, this.#reason);
    }
    const steady = healthy && this.#failures === 0;
    this.#timer = setTimeout(() => void this.#ask(), steady ? HEALTHY_EVERY_MS : UNHEALTHY_EVERY_MS);
  }
}

/** Undefined: it is well. Otherwise what is wrong. */
function probe({ check, address, grpc }: AppHealthOptions): Promise<string | undefined> {
  switch (check.kind) {
    case "none":
      return Promise.resolve(undefined);
    case "tcp":
      return probeTcp(address);
    case "http":
      return probeHttp(address, check.path);
    case "grpc":
      return probeGrpc(grpc);
  }
}

async function probeTcp({ host, port }: Address): Promise<string | undefined> {
  const ignore = (): void => {};
  const connecting = Bun.connect({
    hostname: host,
    port,
    socket: { data: ignore, open: (socket) => void socket.end(), error: ignore, connectError: ignore },
  }).then(
    () => undefined,
    () => `${host}:${port} takes no connections`,
  );
  return withinTime(connecting);
}

async function probeHttp({ host, port }: Address, path: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  try {
    const response = await fetch(`http://${host}:${port}${path}`, { signal, redirect: "manual" });
    await response.body?.cancel();
    return response.status < 400 ? undefined : `GET ${path} was answered with ${response.status}`;
  } catch {
    return `GET ${path} was not answered`;
  }
}

/** gRPC's length-prefixed empty `HealthCheckRequest`: the server as a whole is meant. */
const HEALTH_REQUEST = new Uint8Array(5);
/** `HealthCheckResponse { status: SERVING }`, after the prefix. */
const SERVING = Buffer.from([0x08, 0x01]);
const CANCELLED = { kind: "cancelled", detail: "health_check_over" } as const;

const HEALTH_HEAD: RequestHead = {
  method: "POST",
  path: "/grpc.health.v1.Health/Check",
  authority: "localhost",
  scheme: "http",
  absoluteForm: false,
  upgrade: undefined,
  expectContinue: false,
  headers: ["content-type", "application/grpc", "te", "trailers"],
  contentLength: undefined,
  version: "2",
};

async function probeGrpc(pool: Pool): Promise<string | undefined> {
  // Everything below may be called before `acquire` returns: the pool may have a connection at hand.
  const { promise: verdict, resolve } = Promise.withResolvers<string | undefined>();
  const chunks: Uint8Array[] = [];
  const judge = (): void => {
    const message = Buffer.concat(chunks).subarray(5);
    resolve(message.equals(SERVING) ? undefined : "its health service does not say SERVING");
  };
  const listener: StreamListener<ResponseHead> = {
    onHead: (_head, end) => end && judge(),
    onInformational() {},
    onData(chunk, end) {
      if (chunks.length < 16) chunks.push(chunk);
      if (end) judge();
    },
    onTrailers: judge,
    onDrain() {},
    onFault: () => resolve("its health service does not answer"),
  };
  let giveUp = (): void => pool.cancel(waiter);
  const waiter: PoolWaiter = {
    onConnection(connection) {
      const stream = connection.codec.open(listener);
      giveUp = () => {
        stream.reset(CANCELLED);
        connection.streamEnded();
      };
      stream.sendHead(HEALTH_HEAD, false);
      stream.sendData(HEALTH_REQUEST, true);
    },
    onNoConnection: () => resolve("it takes no connections"),
  };
  pool.acquire(waiter);
  try {
    return await withinTime(verdict);
  } finally {
    giveUp();
  }
}

async function withinTime(verdict: Promise<string | undefined>): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, ANSWER_WITHIN_MS, "it did not answer in time");
  });
  try {
    return await Promise.race([verdict, late]);
  } finally {
    clearTimeout(timer);
  }
}
