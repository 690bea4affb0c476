/** The TLS side of sockets: what to present, whom to believe, and how ALPN is put to the runtime. */

/** A workload's certificate and key, and the roots it believes. Replaced as a whole when any part changes. */
export interface TlsIdentity {
  /** Leaf and issuing certificates, PEM. */
  readonly certificateChain: string;
  /** PKCS#8 PEM. Never logged. */
  readonly privateKey: string;
  /** PEM of every root. */
  readonly trustBundle: string;
  readonly trustDomain: string;
}

/** `TLS1_3_VERSION`: nothing older is spoken. */
export const TLS_1_3 = 0x0304;

/** The protocols that a connection can carry, by their ALPN names. */
export type HttpProtocol = "h2" | "http/1.1";

/** What an application speaks: HTTP, or anything over TCP. */
export type ApplicationProtocol = HttpProtocol | "tcp";

/** ALPN protocol list in wire format (RFC 7301 §3.1): each name behind its length. */
export function alpnProtocols(...names: readonly HttpProtocol[]): Buffer {
  return Buffer.concat(names.map((name) => Buffer.from([name.length, ...Buffer.from(name)])));
}

/** The parts of the runtime's TLS sockets that its type declarations leave out. */
export interface TlsSocketFacts {
  readonly authorized: boolean;
  readonly alpnProtocol: string | false | null;
  getServername(): string | false | null | undefined;
  /** TLS resumed an earlier session: the certificate is that session's, and was not verified now. */
  isSessionReused?(): boolean;
  /** With `false`, not the leaf alone but who signed it, and so on up to a root. */
  getPeerCertificate(abbreviated?: boolean): { readonly raw?: Uint8Array } | null | undefined;
}

/** The server name that the peer asked for (SNI, RFC 6066 §3); undefined: none. */
export function serverNameOf(socket: TlsSocketFacts): string | undefined {
  const name = socket.getServername();
  return typeof name === "string" && name !== "" ? name : undefined;
}

interface ChainLink {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: ChainLink;
}

/** Certificates that are looked at; none that is believed has more above it. */
const LINKS_MAX = 5;

/** DER of the peer's certificates, the leaf first, each signed by the next. */
export function peerChain(socket: TlsSocketFacts): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let link = (socket.getPeerCertificate(false) ?? undefined) as ChainLink | undefined;
  while (link?.raw !== undefined && chain.length < LINKS_MAX) {
    chain.push(link.raw);
    // A root is its own.
    link = link.issuerCertificate === link ? undefined : link.issuerCertificate;
  }
  return chain;
}

/** DER of the peer's leaf, if it sent one. */
export function peerLeaf(socket: TlsSocketFacts): Uint8Array | undefined {
  return socket.getPeerCertificate()?.raw;
}
