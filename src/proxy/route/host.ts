/**
 * Which service a request is for, by its `Host` or `:authority`: `catalog` within its own namespace, `catalog.shop`
 * and `catalog.shop.<trust-domain>` from anywhere; with or without a port or a trailing dot, in any case.
 */

/** Spellings remembered beside the canonical ones (other ports, trailing dots): a bound, since clients choose them. */
const SPELLINGS_MAX = 1024;

/** A host name without its port: letters, digits, hyphens, underscores (trust domains may hold them) and dots. */
const AUTHORITY = /^([a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?)\.?(?::(\d{1,5}))?$/;

export interface Authority {
  /** Lower-case, without port and trailing dot. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Takes a registered name with an optional port apart (RFC 3986 §3.2); undefined for anything else, IPv6 included. */
export function parseAuthority(authority: string): Authority | undefined {
  if (authority.length > 262) return undefined;
  const parts = AUTHORITY.exec(authority.toLowerCase());
  const host = parts?.[1];
  if (host === undefined || host.includes("..")) return undefined;
  const digits = parts?.[2];
  if (digits === undefined) return { host, port: undefined };
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

/** Every canonical name of a service, seen from `ownNamespace`. */
export function hostNames(namespace: string, name: string, ownNamespace: string, trustDomain: string): string[] {
  const qualified = [`${name}.${namespace}`, `${name}.${namespace}.${trustDomain}`];
  return namespace === ownNamespace ? [name, ...qualified] : qualified;
}

/**
 * From authority to whatever stands for a service. A known spelling costs one `Map.get`; a new one is parsed, and
 * remembered if it names a service.
 */
export class HostTable<T extends object> {
  readonly #byName = new Map<string, T>();
  readonly #bySpelling = new Map<string, T>();

  /** The first to claim a name keeps it. */
  add(names: readonly string[], target: T): void {
    for (const name of names) {
      if (this.#byName.has(name)) continue;
      this.#byName.set(name, target);
      this.#bySpelling.set(name, target);
    }
  }

  lookup(authority: string): T | undefined {
    return this.#bySpelling.get(authority) ?? this.#resolve(authority);
  }

  #resolve(authority: string): T | undefined {
    const parsed = parseAuthority(authority);
    const target = parsed && this.#byName.get(parsed.host);
    if (target !== undefined && this.#bySpelling.size < this.#byName.size + SPELLINGS_MAX) {
      this.#bySpelling.set(authority, target);
    }
    return target;
  }
}
