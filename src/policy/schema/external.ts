/** A service of another mesh, which this one calls: who it is there, and where its sidecars listen. */

import { z } from "zod";
import { DNS_LABEL, TRUST_DOMAIN } from "../names.ts";

const IDENTITY = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;
const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)):(\d{1,5})$/;

export interface ExternalIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
}

/** Undefined where it is not of the form that workloads of a mesh have. */
export function parseExternalIdentity(text: string): ExternalIdentity | undefined {
  const [, trustDomain = "", namespace = "", service = ""] = IDENTITY.exec(text) ?? [];
  if (!TRUST_DOMAIN.test(trustDomain) || !DNS_LABEL.test(namespace) || !DNS_LABEL.test(service)) return undefined;
  return { trustDomain, namespace, service };
}

/** Undefined where it is no `host:port`; IPv6 stands in brackets. */
export function parseExternalAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const parts = ADDRESS.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  return host === undefined || !(port >= 1 && port <= 65_535) ? undefined : { host, port };
}

export const external = z.strictObject({
  /** SPIFFE ID that its sidecars must prove; roots of that trust domain alone vouch for it (`heddle ca federate`). */
  identity: z
    .string()
    .refine((text) => parseExternalIdentity(text) !== undefined, "must be like spiffe://other.example/ns/shop/sa/web"),
  /** Of its sidecars, as callers here reach them: inbound listeners, or whatever passes TCP on to them. */
  addresses: z
    .array(
      z
        .string()
        .refine((text) => parseExternalAddress(text) !== undefined, "must be HOST:PORT, such as 10.0.0.5:15006"),
    )
    .min(1)
    .max(64),
});
