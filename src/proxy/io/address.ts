/** Addresses as text: one spelling for comparing them, one for showing them. */

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One spelling for each address, so that two can be compared as text (RFC 5952 for IPv6); names are lower-cased. */
export function canonicalHost(host: string): string {
  if (!host.includes(":")) return host.toLowerCase();
  return URL.parse(`http://[${host}]`)?.hostname.slice(1, -1) ?? host;
}

/** `host:port`, IPv6 in brackets (RFC 3986 §3.2.2). */
export function authorityOf({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
