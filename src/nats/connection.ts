/** The bus on a NATS connection: one that comes back by itself for as long as the process lives. */

import {
  connect,
  createInbox,
  credsAuthenticator,
  ErrorCode,
  Events,
  type Msg,
  type NatsConnection,
  NatsError,
  type RequestOptions,
} from "nats";
import {
  type Bus,
  type BusMessage,
  type BusSubscription,
  type ConnectionEvent,
  NoResponders,
  PermissionDenied,
  RequestTimeout,
} from "./bus.ts";
import { type Credentials, formatCredentials } from "./credentials.ts";
import { inboxPrefix } from "./permissions.ts";

/** TCP, TLS and authentication together, per attempt. */
const DIAL_TIMEOUT_MS = 5_000;
/** Between two attempts: the least wait, and what chance adds, so that a fleet does not return in step. */
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_500;
/** A peer that answers neither of two pings is gone; that also bounds what piles up towards one that stopped reading. */
const PING_INTERVAL_MS = 10_000;
const PINGS_OUT_MAX = 2;
/** Time that `close` gives to what is under way. */
const DRAIN_TIMEOUT_MS = 2_000;

/** Where the servers are. */
export interface ServerAddress {
  /** One server or several of a cluster, such as `nats://127.0.0.1:4222`; in one text with commas between. */
  readonly url: string | readonly string[];
  /** Encrypted, and with a server that proves who it is, or not at all. Scheme `tls` alone asks for that as well. */
  readonly tls?: ServerTls;
}

/** PEM throughout. */
export interface ServerTls {
  /** Whose certificates to believe; absent: those that the system trusts. */
  readonly ca?: string;
  /** To be shown to servers that want one. */
  readonly cert?: string;
  readonly key?: string;
}

export interface ConnectOptions extends ServerAddress {
  readonly credentials: Credentials;
  /** What the server's monitoring calls this connection. */
  readonly name: string;
  /**
   * Told what has no caller to tell: an exception of a subscription's handler, a subject that the server refuses
   * (`PermissionDenied`), credentials that it no longer takes.
   */
  readonly onError: (error: Error) => void;
  /**
   * Keeps trying until the first connection stands or the signal aborts; without it, the first failure rejects.
   * Refused credentials reject either way.
   */
  readonly retryUntil?: AbortSignal;
}

/**
 * Connects. Later the connection comes back by itself, for ever, and its subscriptions with it. Rejects with
 * `PermissionDenied` when the server refuses the credentials.
 */
export async function connectBus(options: ConnectOptions): Promise<NatsBus> {
  const { url, credentials, name, onError, retryUntil } = options;
  const tls = tlsOf(options);
  const prefix = inboxPrefix(credentials.publicKey);
  for (;;) {
    try {
      const client = await connect({
        servers: urlsOf(url),
        authenticator: credsAuthenticator(
          new TextEncoder().encode(formatCredentials({ ...credentials, mesh: undefined })),
        ),
        name,
        ...(tls === undefined ? {} : { tls }),
        inboxPrefix: prefix,
        timeout: DIAL_TIMEOUT_MS,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        reconnectJitter: RECONNECT_JITTER_MS,
        pingInterval: PING_INTERVAL_MS,
        maxPingOut: PINGS_OUT_MAX,
        // A server that is being restarted may refuse a good user for a moment.
        ignoreAuthErrorAbort: true,
        // The client would otherwise capture a stack trace for every request.
        noAsyncTraces: true,
      });
      return new NatsBus(client, prefix, onError);
    } catch (error) {
      const refused = error instanceof NatsError && error.isAuthError();
      if (refused)
        throw new PermissionDenied(
          `${url} refuses the credentials of ${credentials.name}: they were revoked, have expired, or are another mesh's`,
          { cause: error },
        );
      if (retryUntil === undefined || retryUntil.aborted) throw new Error(whyNot(url, error), { cause: error });
    }
    await abortableDelay(RECONNECT_WAIT_MS + Math.random() * RECONNECT_JITTER_MS, retryUntil);
  }
}

/** Each server's own URL. */
export function urlsOf(url: ServerAddress["url"]): string[] {
  return typeof url === "string" ? url.split(",") : [...url];
}

/** With options for TLS, the client refuses a server that speaks without. */
function tlsOf({ url, tls }: ServerAddress): ServerTls | undefined {
  return tls ?? (urlsOf(url).some((each) => each.startsWith("tls://")) ? {} : undefined);
}

/** Why there is no connection, as far as that is of use to a person. */
function whyNot(url: ConnectOptions["url"], error: unknown): string {
  if (!(error instanceof Error)) return `${url} is out of reach`;
  const text = `${(error as NodeJS.ErrnoException).code ?? ""} ${error.message}`;
  if (/CERT|VERIFY|SELF_SIGNED|ALTNAME|certificate/i.test(text)) {
    return `${url} does not prove who it is: ${error.message} (--tls-ca names whom to believe)`;
  }
  if (error instanceof NatsError && error.code === ErrorCode.ServerOptionNotAvailable) {
    return `${url} does not speak TLS, which was asked for`;
  }
  return `${url} is out of reach`;
}

/** Resolves after the time, or at once when the signal aborts. */
function abortableDelay(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, durationMs);
    signal.addEventListener("abort", finish);
  });
}

/** Whether the servers let in whoever comes without credentials. Rejects when they are out of reach. */
export async function letsAnybodyIn(server: ServerAddress): Promise<boolean> {
  const tls = tlsOf(server);
  try {
    const client = await connect({
      servers: urlsOf(server.url),
      ...(tls === undefined ? {} : { tls }),
      reconnect: false,
      timeout: DIAL_TIMEOUT_MS,
    });
    await client.close();
    return true;
  } catch (error) {
    if (error instanceof NatsError && error.isAuthError()) return false;
    throw new Error(whyNot(server.url, error), { cause: error });
  }
}

export interface ConnectionFacts {
  readonly serverVersion: string;
  readonly isEncrypted: boolean;
  readonly roundTripMs: number;
}

/** A bus, and within `src/nats/` the client beneath it. */
export class NatsBus implements Bus {
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();
  #connected = true;

  constructor(
    /** For the other files of this folder only: JetStream goes beyond what a bus offers. */
    readonly client: NatsConnection,
    private readonly inboxes: string,
    private readonly onError: (error: Error) => void,
  ) {
    void this.#watch();
    // The status iterator of a closed client just falls silent.
    void client.closed().then(() => this.#announce("closed"));
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** At most once: what is published while the connection is away is lost, as it would be with nobody listening. */
  publish(subject: string, data: Uint8Array): void {
    if (this.#connected) this.client.publish(subject, data);
  }

  subscribe(
    subject: string,
    onMessage: (message: BusMessage) => void,
    options: { readonly queue?: string } = {},
  ): BusSubscription {
    const subscription = this.client.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        if (error !== null) return; // A refused subject; #watch reports it.
        this.guard(() => onMessage(new NatsMessage(message)));
      },
    });
    return { stop: () => subscription.unsubscribe() };
  }

  async request(subject: string, data: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array> {
    return (await this.requestMessage(subject, data, { timeout: options.timeoutMs })).data;
  }

  /** For the other files of this folder: a request with headers, answered with headers. Fails as `request` does. */
  async requestMessage(subject: string, data: Uint8Array | string, options: RequestOptions): Promise<Msg> {
    // The client would drop the request and let it time out.
    if (!this.#connected) throw new NoResponders(`no connection to ask on ${subject}`);
    try {
      return await this.client.request(subject, data, options);
    } catch (error) {
      throw describeError(error, subject);
    }
  }

  /** For the other files of this folder: a subject of this connection's own, to be answered on. */
  newInbox(): string {
    return createInbox(this.inboxes);
  }

  /** What there is to know of the connection, after a round trip. */
  async probe(): Promise<ConnectionFacts> {
    const roundTripMs = await this.client.rtt();
    const { version = "", tls_required = false } = this.client.info ?? {};
    return { serverVersion: version, isEncrypted: tls_required, roundTripMs };
  }

  /** Whether the server would let us hear a subject. */
  async mayHear(subject: string): Promise<boolean> {
    let refused = false;
    const subscription = this.client.subscribe(subject, {
      callback: (error) => {
        if (error !== null) refused = true;
      },
    });
    // A refusal comes before the answer to what was sent later.
    await this.client.flush();
    if (!refused) subscription.unsubscribe();
    return !refused;
  }

  /** Rejects when the connection is lost meanwhile. */
  async flush(): Promise<void> {
    await this.client.flush();
  }

  /** Returns what takes the listener off again. */
  onConnection(listener: (event: ConnectionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hands over what is under way, then closes for good. */
  async close(): Promise<void> {
    if (this.client.isClosed()) return;
    if (this.#connected) {
      const timer = Promise.withResolvers<void>();
      const timeout = setTimeout(timer.resolve, DRAIN_TIMEOUT_MS);
      await Promise.race([this.client.drain(), timer.promise]);
      clearTimeout(timeout);
    }
    await this.client.close();
  }

  /** Runs a handler; its failure, now or later, is reported and ends nothing else. */
  guard(handler: () => unknown): void {
    try {
      const result = handler();
      if (result instanceof Promise) result.catch((error: unknown) => this.onError(toError(error)));
    } catch (error) {
      this.onError(toError(error));
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.client.status()) {
      switch (status.type) {
        case Events.Disconnect:
          this.#announce("disconnected");
          break;
        case Events.Reconnect:
          this.#announce("connected");
          break;
        case Events.Error: {
          const { permissionContext: refused } = status;
          const what =
            refused === undefined ? wordsFor(String(status.data)) : `${refused.operation} ${refused.subject}`;
          this.onError(new PermissionDenied(`the server refuses: ${what}`));
          break;
        }
      }
    }
  }

  #announce(event: ConnectionEvent): void {
    this.#connected = event === "connected";
    for (const listener of this.#listeners) this.guard(() => listener(event));
  }
}

class NatsMessage implements BusMessage {
  constructor(private readonly message: Msg) {}

  get subject(): string {
    return this.message.subject;
  }

  get data(): Uint8Array {
    return this.message.data;
  }

  respond(data: Uint8Array): boolean {
    return this.message.respond(data);
  }
}

/** The client's codes for what ends a connection, in words. */
function wordsFor(code: string): string {
  switch (code) {
    case ErrorCode.AuthorizationViolation:
    case ErrorCode.AuthenticationExpired:
    case ErrorCode.AccountExpired:
      return "these credentials, which are revoked or expired";
    default:
      return code;
  }
}

/** The bus's own errors for those of the client. */
export function describeError(error: unknown, subject: string): Error {
  if (error instanceof NatsError) {
    if (error.code === ErrorCode.NoResponders)
      return new NoResponders(`nobody answers on ${subject}`, { cause: error });
    if (error.code === ErrorCode.Timeout) return new RequestTimeout(`no answer on ${subject}`, { cause: error });
    if (error.isPermissionError()) return new PermissionDenied(`not allowed: ${subject}`, { cause: error });
  }
  return toError(error);
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
