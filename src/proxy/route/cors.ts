/** Cross-origin requests of browsers (Fetch standard, "CORS protocol"), answered for the application. */

import type { SnapshotCors } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";
import { headerValue } from "../headers.ts";
import { dropFields } from "./header-changes.ts";

export interface Cors {
  /** What a preflight is answered with; undefined for any other request. */
  preflight(method: string, headers: HeaderList): HeaderList | undefined;
  /** Puts policy's word in the place of the application's. `origin`: of the request. */
  changeResponse(origin: string | undefined, headers: HeaderList): void;
}

const ANSWERED: ReadonlySet<string> = new Set([
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-expose-headers",
]);

/** The policy of one rule, compiled once. */
export function compileCors(cors: SnapshotCors): Cors {
  const { origins, methods, headers: allowed, exposeHeaders, credentials, maxAgeS } = cors;
  const isAllowed = compileOrigins(origins);
  // With credentials, `*` would not be heard: the origin itself is named.
  const nameOrigin = (origin: string): string => (origins.includes("*") && !credentials ? "*" : origin);
  const common = (origin: string): HeaderList => [
    "access-control-allow-origin",
    nameOrigin(origin),
    ...(credentials ? ["access-control-allow-credentials", "true"] : []),
  ];
  // With credentials, `*` would be the name of a header: those that are asked for are named.
  const anyName = credentials && allowed.includes("*");
  const allowedNames = (headers: HeaderList): string =>
    anyName ? (headerValue(headers, "access-control-request-headers") ?? "") : allowed.join(", ");
  return {
    preflight: (method, headers) => {
      const origin = headerValue(headers, "origin");
      const asked = headerValue(headers, "access-control-request-method");
      if (method !== "OPTIONS" || origin === undefined || asked === undefined) return undefined;
      if (!isAllowed(origin)) return ["vary", "origin"];
      const names = allowedNames(headers);
      return [
        ...common(origin),
        "access-control-allow-methods",
        methods.join(", "),
        ...(names === "" ? [] : ["access-control-allow-headers", names]),
        ...(maxAgeS === undefined ? [] : ["access-control-max-age", String(maxAgeS)]),
        "vary",
        anyName ? "origin, access-control-request-headers" : "origin",
      ];
    },
    changeResponse: (origin, headers) => {
      dropFields(headers, ANSWERED);
      headers.push("vary", "origin");
      if (origin === undefined || !isAllowed(origin)) return;
      headers.push(...common(origin));
      if (exposeHeaders.length > 0) headers.push("access-control-expose-headers", exposeHeaders.join(", "));
    },
  };
}

/** `https://*.example.org` is every name under it, on the same scheme and port. */
function compileOrigins(origins: readonly string[]): (origin: string) => boolean {
  if (origins.includes("*")) return () => true;
  const exact = new Set(origins);
  const wild = origins.flatMap((origin) => {
    const [scheme = "", rest] = origin.split("://*.");
    return rest === undefined ? [] : [{ beginning: `${scheme}://`, ending: `.${rest}` }];
  });
  return (origin) =>
    exact.has(origin) ||
    wild.some(
      ({ beginning, ending }) =>
        origin.length > beginning.length + ending.length && origin.startsWith(beginning) && origin.endsWith(ending),
    );
}
