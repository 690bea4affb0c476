/** The bus on the NATS client: messages, requests, and word of the connection's coming and going. */

import { createInbox, ErrorCode, Events, type Msg, type NatsConnection, NatsError, type RequestOptions } from "nats";
import {
  type Bus,
  type BusMessage,
  type BusSubscription,
  type ConnectionEvent,
  NoResponders,
  PermissionDenied,
  RequestTimeout,
} from "./bus.ts";

/** Time that `close` gives to what is under way. */
const DRAIN_TIMEOUT_MS = 2_000;

/** What there is to know of a connection. */
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
