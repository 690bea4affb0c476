/** Addresses on the command line. */

import { networkInterfaces } from "node:os";
import type { Address } from "../../proxy/io/address.ts";
import { UsageError } from "../failure.ts";

/** `host:port`, `:port` or `port` (on `defaultHost`), `[v6]:port`. Port 0: any free one. Throws `UsageError`. */
export function parseAddress(text: string, option: string, defaultHost: string): Address {
  const parts = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65_535) {
    throw new UsageError(`${option}: '${text}' is no address; write HOST:PORT, such as ${defaultHost}:8080`);
  }
  return { host: parts[1] || parts[2] || defaultHost, port };
}

/** 0 to 65535; undefined where the text is anything else. */
export function portNumber(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port <= 65_535 ? port : undefined;
}

/** `address`, or undefined for `off`. */
export function parseOptionalAddress(text: string, option: string, defaultHost: string): Address | undefined {
  return text === "off" ? undefined : parseAddress(text, option, defaultHost);
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** The host under which others find a listener on `host`: itself, unless it is every interface of this machine. */
export function advertisedHost(host: string): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.find(({ internal, family }) => !internal && family === "IPv4");
  return outside?.address ?? "127.0.0.1";
}
