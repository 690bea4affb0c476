/** What is spoken on a connection, where only its first bytes can tell. */

import { refusalText } from "../codec/http1/head-writer.ts";
import { isHttp1Request } from "../codec/http1/request-line.ts";
import { isHttp2Preface } from "../codec/http2/preface.ts";
import type { StreamFault } from "../codec/message.ts";
import { alertRecord } from "../codec/tls/alert.ts";
import { beginsTls, readClientHello } from "../codec/tls/client-hello.ts";
import type { Limits } from "../limits.ts";
import type { ApplicationProtocol } from "./tls.ts";

/**
 * What may come on a connection: HTTP alone; anything at all; TLS, for the service that its server name says; or bytes
 * to be carried as they are, unless a sidecar speaks HTTP/2 to us.
 */
export type Expected = "http" | "any" | "tls" | "raw";

export type Detection =
  /** Ask again with all bytes so far. */
  | { readonly kind: "more" }
  | {
      readonly kind: "speaks";
      readonly protocol: ApplicationProtocol;
      /** In TLS that others end: whom the client means (SNI). */
      readonly hello?: { readonly serverName: string | undefined };
    }
  /** Nothing that may come here. `answer`: in the client's own protocol, as far as that can be told. */
  | { readonly kind: "refused"; readonly fault: StreamFault; readonly answer: Uint8Array | string };

const MORE: Detection = { kind: "more" };
/** Nothing of HTTP begins so: a client that waits for a handshake would only learn from the head's timeout. */
const TLS_FOR_HTTP: Detection = {
  kind: "refused",
  fault: { kind: "protocol-error", detail: "tls_instead_of_http", status: 400 },
  answer: alertRecord("unexpected_message"),
};
const RAW: Detection = { kind: "speaks", protocol: "tcp" };

/** What `bytes`, the first of a connection, say; `date` is for a response of our own (RFC 9110 §6.6.1). */
export function detect(bytes: Uint8Array, expected: Expected, limits: Limits, date: string): Detection {
  if (expected === "tls") return detectTls(bytes, limits, date);
  const http2 = isHttp2Preface(bytes);
  // HTTP/2 with prior knowledge announces itself by its preface (RFC 9113 §3.3); everything else is HTTP/1.1.
  if (http2 !== "no") return http2 === "yes" ? { kind: "speaks", protocol: "h2" } : MORE;
  if (expected === "raw") return RAW;
  if (expected === "http") return beginsTls(bytes) ? TLS_FOR_HTTP : { kind: "speaks", protocol: "http/1.1" };
  if (beginsTls(bytes)) {
    const hello = readClientHello(bytes, limits.clientHelloBytesMax);
    if (hello.kind === "more") return MORE;
    return hello.kind === "hello" ? { kind: "speaks", protocol: "tcp", hello } : RAW;
  }
  const http1 = isHttp1Request(bytes);
  if (http1 === "more") return MORE;
  return http1 === "yes" ? { kind: "speaks", protocol: "http/1.1" } : RAW;
}

function detectTls(bytes: Uint8Array, limits: Limits, date: string): Detection {
  const hello = readClientHello(bytes, limits.clientHelloBytesMax);
  if (hello.kind === "more") return MORE;
  if (hello.kind === "hello") return { kind: "speaks", protocol: "tcp", hello };
  const fault: StreamFault = { kind: "protocol-error", detail: "tls_client_hello_expected", status: 400 };
  if (beginsTls(bytes)) return { kind: "refused", fault, answer: alertRecord("decode_error") };
  const speaksHttp = /^[A-Z]+ /.test(Buffer.from(bytes.subarray(0, 16)).toString("latin1"));
  return { kind: "refused", fault, answer: speaksHttp ? refusalText(fault, date) : "" };
}
