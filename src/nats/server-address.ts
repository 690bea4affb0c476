/** Where NATS servers are, and how they prove who they are. */

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

/** Each server's own URL. */
export function urlsOf(url: ServerAddress["url"]): string[] {
  return typeof url === "string" ? url.split(",") : [...url];
}

/** Options for TLS, if it is asked for: with them, the client refuses a server that speaks without. */
export function tlsOf({ url, tls }: ServerAddress): ServerTls | undefined {
  return tls ?? (urlsOf(url).some((each) => each.startsWith("tls://")) ? {} : undefined);
}
