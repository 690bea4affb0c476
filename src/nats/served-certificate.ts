/** The certificate that a NATS server shows, which the client does not tell of. */

import { createConnection, type Socket } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { type ServerAddress, urlsOf } from "./server-address.ts";

/** TCP, the server's first word and TLS together. */
const TIMEOUT_MS = 5_000;
const DEFAULT_PORT = 4222;

/**
 * When the certificate of the first server ends, in milliseconds since the epoch; undefined where it does not speak TLS.
 * A server says who it is in the clear (INFO), and then waits for the handshake. Rejects when it is out of reach.
 */
export async function servedCertificateEnd({ url, tls }: ServerAddress): Promise<number | undefined> {
  const [first = ""] = urlsOf(url);
  const { hostname, port } = new URL(first);
  const host = hostname.replace(/^\[|\]$/g, "");
  const plain = createConnection({ host, port: Number(port || DEFAULT_PORT), timeout: TIMEOUT_MS });
  try {
    const info = (await event(plain, "data")).toString();
    if (!/"tls_required":\s*true/.test(info)) return undefined;
    // Whether it is believed, the connection that is in use has settled: here it is looked at.
    const options: ConnectionOptions = { ...tls, socket: plain, rejectUnauthorized: false };
    const secure: TLSSocket = connect(options);
    await event(secure, "secureConnect");
    const { valid_to } = secure.getPeerCertificate();
    secure.destroy();
    return Date.parse(valid_to);
  } finally {
    plain.destroy();
  }
}

function event(socket: Socket, name: "data" | "secureConnect"): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once(name, resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the server ended the connection")));
    socket.once("timeout", () => reject(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
  });
}
