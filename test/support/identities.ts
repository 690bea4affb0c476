/** TLS identities of workloads, good ones and others, as listeners and dials take them. */

import type { TlsIdentity } from "../../src/proxy/io/tls.ts";
import { type Forged, type ForgeOptions, forge, forgeAuthority } from "../ca/forge.ts";

export const TRUST_DOMAIN = "mesh.local";

export function idOf(service: string): string {
  return `spiffe://${TRUST_DOMAIN}/ns/shop/sa/${service}`;
}

export interface TestAuthority {
  readonly rootPem: string;
  /** A good identity of `shop/<service>`, but for what `options` say. */
  issue(service: string, options?: ForgeOptions): Promise<TlsIdentity>;
}

export async function testAuthority(name: string): Promise<TestAuthority> {
  const { root, issuer } = await forgeAuthority(name);
  return {
    rootPem: root.pem,
    async issue(service, options = {}) {
      const leaf: Forged = await forge({ uris: [idOf(service)], by: issuer, ...options });
      return {
        certificateChain: leaf.pem + issuer.pem,
        privateKey: leaf.keyPem,
        trustBundle: root.pem,
        trustDomain: TRUST_DOMAIN,
      };
    },
  };
}
