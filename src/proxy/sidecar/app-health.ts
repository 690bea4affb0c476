/**
 * Whether the application beside us can take traffic: asked again and again, so that an instance whose application is
 * not there yet, or no longer, is not offered to callers. The application may start before its sidecar or after it.
 */

import type { SnapshotHealthCheck } from "../../projections/snapshot.ts";
import type { RequestHead, ResponseHead, StreamListener } from "../codec/message.ts";
import type { Address } from "../io/address.ts";
import type { Pool, PoolWaiter } from "../upstream/pool.ts";

/**
 * How the application is asked:
 * - `tcp`: it takes a connection; the default, which every application answers.
 * - `http`: GET of a path is answered with 2xx or 3xx.
 * - `grpc`: the standard health service (`grpc.health.v1.Health/Check`) says SERVING.
 * - `none`: it is not asked, and taken to be well.
 */
export type HealthCheck = { readonly kind: "none" | "tcp" | "grpc" } | { readonly kind: "http"; readonly path: string };

/** How often, where policy does not say; one lost answer takes no instance out of the mesh. */
const TERMS = { intervalMs: 2_000, timeoutMs: 2_000, unhealthyThreshold: 2, healthyThreshold: 1 } as const;
/** While something is wrong it is asked more often, so that it comes back soon. */
const UNHEALTHY_EVERY_MS = 500;

type Terms = Omit<SnapshotHealthCheck, "check"> & { readonly check: HealthCheck };

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
  #terms: Terms;
  /** In a row. */
  #failures = 0;
  #successes = 0;
  /** Grows whenever the check changes, so that an answer to the former check is ignored. */
  #round = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  readonly #first = Promise.withResolvers<void>();

  constructor(options: AppHealthOptions) {
    this.#options = options;
    this.#terms = { ...TERMS, check: options.check };
    this.#healthy = options.check.kind === "none";
    if (this.#healthy) this.#first.resolve();
    else void this.#ask();
  }

  /** Asks as policy says from now on; undefined: as the sidecar was started. The verdict so far stands until then. */
  configure(wanted: SnapshotHealthCheck | undefined): void {
    const terms = wanted ?? { ...TERMS, check: this.#options.check };
    if (JSON.stringify(terms) === JSON.stringify(this.#terms)) return;
    this.#terms = terms;
    this.#round++;
    this.#failures = 0;
    this.#successes = 0;
    clearTimeout(this.#timer);
    if (!this.#stopped) void this.#ask();
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
    const round = this.#round;
    const { check, intervalMs, timeoutMs, unhealthyThreshold, healthyThreshold } = this.#terms;
    const failure = await probe(check, timeoutMs, this.#options).catch((error: unknown) => String(error));
    if (this.#stopped || round !== this.#round) return;
    this.#failures = failure === undefined ? 0 : this.#failures + 1;
    this.#successes = failure === undefined ? this.#successes + 1 : 0;
    if (failure !== undefined) this.#reason = failure;
    const healthy = this.#healthy ? this.#failures < unhealthyThreshold : this.#successes >= healthyThreshold;
    if (healthy) this.#first.resolve();
    if (healthy !== this.#healthy || !this.#judged) {
      this.#judged = true;
      this.#healthy = healthy;
      this.#options.onChange(healthy, this.#reason);
    }
    if (check.kind === "none") return;
    const steady = healthy && this.#failures === 0;
    const waitMs = steady ? intervalMs : Math.min(intervalMs, UNHEALTHY_EVERY_MS);
    this.#timer = setTimeout(() => void this.#ask(), waitMs);
  }
}

/** Undefined: it is well. Otherwise what is wrong. */
function probe(
  check: HealthCheck,
  timeoutMs: number,
  { address, grpc }: Pick<AppHealthOptions, "address" | "grpc">,
): Promise<string | undefined> {
  switch (check.kind) {
    case "none":
      return Promise.resolve(undefined);
    case "tcp":
      return probeTcp(address, timeoutMs);
    case "http":
      return probeHttp(address, check.path, timeoutMs);
    case "grpc":
      return probeGrpc(grpc, timeoutMs);
  }
}

async function probeTcp({ host, port }: Address, timeoutMs: number): Promise<string | undefined> {
  const ignore = (): void => {};
  const connecting = Bun.connect({
    hostname: host,
    port,
    socket: { data: ignore, open: (socket) => void socket.end(), error: ignore, connectError: ignore },
  }).then(
    () => undefined,
    () => `${host}:${port} takes no connections`,
  );
  return withinTime(connecting, timeoutMs);
}

async function probeHttp({ host, port }: Address, path: string, timeoutMs: number): Promise<string | undefined> {
  // Not by `fetch`, which heeds HTTP_PROXY: applications are pointed at us by that, and it would ask somebody else.
  const { get } = await import("node:http");
  const { promise: status, resolve } = Promise.withResolvers<number | undefined>();
  const request = get({ host, port, path, agent: false }, ({ statusCode }) => resolve(statusCode));
  request.on("error", () => resolve(undefined));
  const late = setTimeout(() => resolve(undefined), timeoutMs);
  const found = await status;
  clearTimeout(late);
  request.destroy();
  if (found === undefined) return `GET ${path} was not answered`;
  return found < 400 ? undefined : `GET ${path} was answered with ${found}`;
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

async function probeGrpc(pool: Pool, timeoutMs: number): Promise<string | undefined> {
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
    return await withinTime(verdict, timeoutMs);
  } finally {
    giveUp();
  }
}

async function withinTime(verdict: Promise<string | undefined>, timeoutMs: number): Promise<string | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, "it did not answer in time");
  });
  try {
    return await Promise.race([verdict, late]);
  } finally {
    clearTimeout(timer);
  }
}
