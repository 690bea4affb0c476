/** Documents that most meshes of tests begin with, in the namespace `shop`. */

export interface PortSpec {
  readonly port: number;
  readonly protocol: "http" | "http2" | "grpc" | "tcp";
}

/** A Service, by its ports, or by what its one port, 8080, speaks. Ends with the separator of documents. */
export function serviceDocument(name: string, ports: readonly PortSpec[] | PortSpec["protocol"]): string {
  const list = typeof ports === "string" ? [{ port: 8080, protocol: ports }] : ports;
  return `apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: { ports: ${JSON.stringify(list)} }
---
`;
}

/** A Route of the service's own name; `rules` as YAML, a list item each, not indented. */
export function routeDocument(service: string, rules: string): string {
  const indented = rules.trim().replaceAll(/^(?=.)/gm, "    ");
  return `apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: ${service} }
spec:
  service: ${service}
  rules:
${indented}
---
`;
}

/** Lets `shop/web` call a service, whatever it asks for. */
export function openToWeb(service: string): string {
  return `apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: ${service} }
spec: { service: ${service}, rules: [{ allow: { from: [shop/web] } }] }
---
`;
}
