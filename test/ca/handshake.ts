/** One real TLS connection over loopback, set up as sidecars do, and what each side was told of the other. */

import type { Socket, TCPSocketListener } from "bun";

export interface Credentials {
  readonly certPem: string;
  readonly keyPem: string;
}

/** What one side sees in its `handshake` callback. */
export interface SeenPeer {
  readonly success: boolean;
  readonly authorized: boolean;
  readonly code: string | undefined;
  readonly raw: Uint8Array | undefined;
  readonly alpn: string | false | null;
}

export interface Handshake {
  readonly server: SeenPeer;
  readonly client: SeenPeer;
  /** What the server's `data` callback was given of the client's `ping`. */
  readonly serverReceived: string;
}

export const ALPN_H2 = Buffer.from("\x02h2", "latin1");
/** `minVersion` as the runtime wants it. */
const TLS_1_3 = 0x0304;

function seenBy(socket: Socket, success: boolean, error: Error | null): SeenPeer {
  const code = error !== null && "code" in error ? String(error.code) : undefined;
  // The types do not say that there may be no certificate.
  const certificate: { raw?: Uint8Array } | undefined = socket.getPeerCertificate();
  return { success, authorized: socket.authorized, code, raw: certificate?.raw, alpn: socket.alpnProtocol };
}

export interface ServerOptions extends Credentials {
  readonly ca: string;
  readonly rejectUnauthorized?: boolean;
  readonly onPeer?: (peer: SeenPeer, socket: Socket) => void;
  readonly onData?: (data: string, socket: Socket) => void;
  readonly onClose?: () => void;
}

/** Accepts plain and turns each connection into TLS at once, so that the next one can get another certificate. */
export function listenTls(options: () => ServerOptions): TCPSocketListener<undefined> {
  const ignore = { data() {}, close() {}, error() {} };
  return Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...ignore,
      open(socket) {
        const current = options();
        const upgrade = {
          isServer: true,
          tls: {
            cert: current.certPem,
            key: current.keyPem,
            ca: current.ca,
            requestCert: true,
            rejectUnauthorized: current.rejectUnauthorized ?? true,
            ALPNProtocols: ALPN_H2,
            minVersion: TLS_1_3,
          },
          socket: {
            handshake: (tls: Socket<undefined>, success: boolean, error: Error | null) =>
              current.onPeer?.(seenBy(tls, success, error), tls),
            data: (tls: Socket<undefined>, data: Buffer) => current.onData?.(data.toString(), tls),
            close: () => current.onClose?.(),
            error() {},
          },
        };
        socket.upgradeTLS(upgrade);
      },
    },
  });
}

/**
 * Shakes hands, lets the client send `ping`, and waits until the server has answered it or either side has closed.
 * The client trusts `serverCa`, the server `clientCa`.
 */
export async function shakeHands(options: {
  readonly server: Credentials;
  readonly client: Credentials | undefined;
  readonly serverCa: string;
  readonly clientCa: string;
  readonly rejectUnauthorized?: boolean;
}): Promise<Handshake> {
  const server = Promise.withResolvers<SeenPeer>();
  const client = Promise.withResolvers<SeenPeer>();
  const over = Promise.withResolvers<void>();
  const serverClosed = Promise.withResolvers<void>();
  let serverReceived = "";
  const listener = listenTls(() => ({
    ...options.server,
    ca: options.clientCa,
    rejectUnauthorized: options.rejectUnauthorized ?? true,
    onPeer: (peer) => server.resolve(peer),
    onData(data, socket) {
      serverReceived += data;
      socket.write("pong");
    },
    onClose: () => serverClosed.resolve(),
  }));
  try {
    const tls = {
      ...(options.client === undefined ? {} : { cert: options.client.certPem, key: options.client.keyPem }),
      ca: options.serverCa,
      rejectUnauthorized: false,
      ALPNProtocols: ALPN_H2,
    };
    const socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port: listener.port,
      tls,
      socket: {
        handshake(socket, success, error) {
          client.resolve(seenBy(socket, success, error));
          socket.write("ping");
        },
        data: () => over.resolve(),
        close: () => over.resolve(),
        error: () => over.resolve(),
      },
    });
    const [serverSaw, clientSaw] = await Promise.all([server.promise, client.promise, over.promise]);
    socket.end();
    await serverClosed.promise;
    return { server: serverSaw, client: clientSaw, serverReceived };
  } finally {
    listener.stop(true);
  }
}
