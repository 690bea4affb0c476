/**
 * New connections with mutual TLS 1.3, one after another: `openssl s_time`. Each carries one small request, since a TLS
 * 1.3 client believes itself done before the server has looked at its certificate.
 */

import type { Identity } from "../certificates.ts";
import { output } from "../process.ts";

export interface HandshakeOptions {
  readonly port: number;
  readonly client: Identity;
  readonly seconds: number;
}

/** Full handshakes made, no resumption; `durationUs` is wall time. */
export interface HandshakeResult {
  readonly handshakes: number;
  readonly durationUs: number;
}

export async function loadHandshakes({ port, client, seconds }: HandshakeOptions): Promise<HandshakeResult> {
  const identity = ["-cert", client.certificate, "-key", client.key, "-CAfile", client.roots];
  const startNs = Bun.nanoseconds();
  const target = ["-connect", `127.0.0.1:${port}`, "-www", "/130"];
  const text = await output(["openssl", "s_time", "-new", "-tls1_3", "-time", String(seconds), ...target, ...identity]);
  const durationUs = (Bun.nanoseconds() - startNs) / 1000;
  const [, count, bytes] = /^(\d+) connections in \d+ real seconds, (\d+) bytes read/m.exec(text)?.map(Number) ?? [];
  if (count === undefined || bytes === undefined) throw new Error(`openssl s_time: ${text.trim()}`);
  if (bytes === 0) throw new Error(`openssl s_time: ${count} connections, but nothing was answered`);
  return { handshakes: count, durationUs };
}
