/**
 * The transport between processes as the rest of the program sees it: publish, subscribe, request, and keyed
 * durable values. `src/nats/` implements it on NATS; nothing else imports the client.
 */

export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Answers a request; false where the message asked for no answer. */
  respond(data: Uint8Array): boolean;
}

export interface BusSubscription {
  stop(): void;
}

/** A versioned value of a bucket. `revision` is the bucket's own sequence, not the mesh's. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** Keyed durable values, each with a version by which writes can be made conditional. */
export interface Bucket {
  get(key: string): Promise<Entry | undefined>;
  /** Writes whatever is there. */
  put(key: string, value: Uint8Array): Promise<number>;
  /** Writes only if the key's last revision is still `expected` (0: absent). Undefined: somebody else was first. */
  update(key: string, value: Uint8Array, expected: number): Promise<number | undefined>;
  delete(key: string): Promise<void>;
  /** Every key with its value; for start-up, not for the request path. */
  entries(): Promise<Entry[]>;
}

export type ConnectionEvent = "connected" | "disconnected" | "closed";

/** A connection to the mesh's NATS. */
export interface Bus {
  publish(subject: string, data: Uint8Array): void;
  subscribe(
    subject: string,
    onMessage: (message: BusMessage) => void,
    options?: { readonly queue?: string },
  ): BusSubscription;
  /** Rejects with `NoResponders` where nobody listens, `RequestTimeout` after `timeoutMs`. */
  request(subject: string, data: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array>;
  /** All that was published so far has reached the server. */
  flush(): Promise<void>;
  readonly connected: boolean;
  onConnection(listener: (event: ConnectionEvent) => void): void;
  close(): Promise<void>;
}

export class NoResponders extends Error {
  override readonly name = "NoResponders";
}

export class RequestTimeout extends Error {
  override readonly name = "RequestTimeout";
}

/** Not allowed by the credentials in use. */
export class PermissionDenied extends Error {
  override readonly name = "PermissionDenied";
}
