/** Opens connections to NATS: ones that come back by themselves for as long as the process lives. */

import { connect, credsAuthenticator, ErrorCode, NatsError } from "nats";
import { PermissionDenied } from "./bus.ts";
import { type Credentials, formatCredentials } from "./credentials.ts";
import { NatsBus } from "./nats-bus.ts";
import { inboxPrefix } from "./permissions.ts";
import { type ServerAddress, tlsOf, urlsOf } from "./server-address.ts";

/** TCP, TLS and authentication together, per attempt. */
const DIAL_TIMEOUT_MS = 5_000;
/** Between two attempts: the least wait, and what chance adds, so that a fleet does not return in step. */
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_500;
/** A peer that answers neither of two pings is gone; that also bounds what piles up towards one that stopped reading. */
const PING_INTERVAL_MS = 10_000;
const PINGS_OUT_MAX = 2;

/** How to connect, and as whom. */
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
