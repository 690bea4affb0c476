/** Strangers at a sidecar's inbound port: in plain text, and over TLS with whatever certificate they have. */

import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { svidIdentity } from "../../src/ca/workload/svid.ts";

/** A refused peer is cut off at once; this only bounds a demo in which it is not. */
const TIMEOUT_MS = 10_000;

/** What a client shows. */
export interface Shown {
  /** PEM, leaf first. */
  readonly chainPem: string;
  readonly keyPem: string;
}

/** What came back before the connection was closed. */
export interface Reply {
  /** SPIFFE ID in the certificate that the port showed; undefined where it showed none. */
  readonly server: string | undefined;
  /** Of the HTTP response; undefined: the connection was closed without one. */
  readonly status: number | undefined;
  /** All bytes, as text. */
  readonly text: string;
}

/** Asks in plain text. */
export async function askPlain(port: number, method: string, path: string): Promise<Reply> {
  const socket = connectPlain({ host: "127.0.0.1", port });
  socket.once("connect", () => socket.write(requestText(method, path)));
  return { server: undefined, ...(await replyOn(socket)) };
}

/** Asks over TLS 1.3; `shown` undefined: without a certificate. */
export async function askTls(port: number, shown: Shown | undefined, method: string, path: string): Promise<Reply> {
  let server: string | undefined;
  const socket = connectTls({
    host: "127.0.0.1",
    port,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["http/1.1"],
    // An SVID names no host, so the runtime cannot judge it; whom the port claims to be is read below.
    rejectUnauthorized: false,
    ...(shown === undefined ? {} : { cert: shown.chainPem, key: shown.keyPem }),
  });
  socket.once("secureConnect", () => {
    const identity = svidIdentity(socket.getPeerCertificate().raw, Date.now());
    server = identity.ok ? identity.value.id : identity.error.message;
    socket.write(requestText(method, path));
  });
  const reply = await replyOn(socket);
  return { server, ...reply };
}

function requestText(method: string, path: string): string {
  return `${method} ${path} HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`;
}

/** Reads to the end. A connection that is cut off has its end there: what came before is what counts. */
function replyOn(socket: Socket): Promise<Omit<Reply, "server">> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.setTimeout(TIMEOUT_MS, () => {
      socket.destroy();
      reject(new Error(`the port neither answered nor closed within ${TIMEOUT_MS / 1000} s`));
    });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      const text = Buffer.concat(chunks).toString("latin1");
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1];
      resolve({ status: status === undefined ? undefined : Number(status), text });
    });
  });
}
