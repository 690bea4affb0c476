/** Documents of other meshes, which people try first: whose they are, and what stands for them here. */

/** By kind: whose it is, Heddle's counterpart if there is one, and how to get from the one to the other. */
const FOREIGN_KINDS: Readonly<
  Record<string, { readonly owner: string; readonly here?: string; readonly how: string }>
> = {
  VirtualService: { owner: "Istio", here: "Route", how: "spec.service and spec.rules replace hosts and http" },
  DestinationRule: {
    owner: "Istio",
    here: "Service",
    how: "spec.subsets, spec.loadBalancer, spec.connectionPool and spec.outlierDetection replace host and trafficPolicy",
  },
  AuthorizationPolicy: {
    owner: "Istio",
    here: "AccessPolicy",
    how: "write rules such as allow: { from: [shop/web], methods: [GET] }",
  },
  PeerAuthentication: { owner: "Istio", here: "Mesh", how: "write spec.mtls: strict" },
  ServiceEntry: { owner: "Istio", here: "Service", how: "write spec.ports: [{ port: 8080, protocol: http }]" },
  HTTPRoute: {
    owner: "the Gateway API",
    here: "Route",
    how: "spec.service and spec.rules replace parentRefs and rules, precedence: gateway-api keeps their order",
  },
  GRPCRoute: {
    owner: "the Gateway API",
    here: "Route",
    how: "spec.service and spec.rules replace parentRefs and rules, precedence: gateway-api keeps their order",
  },
  Server: { owner: "Linkerd", here: "Service", how: "write spec.ports: [{ port: 8080, protocol: http }]" },
  ServiceProfile: { owner: "Linkerd", here: "Route", how: "write timeouts and retries in spec.rules" },
  ServiceRouter: { owner: "Consul", here: "Route", how: "write spec.service and spec.rules" },
  ServiceSplitter: { owner: "Consul", here: "Route", how: "write weights in spec.rules[].backends" },
  ServiceResolver: { owner: "Consul", here: "Service", how: "write spec.subsets" },
  ServiceIntentions: {
    owner: "Consul",
    here: "AccessPolicy",
    how: "write rules such as allow: { from: [shop/web] }",
  },
  Gateway: { owner: "Istio", how: "Heddle has no ingress gateway of its own" },
  EnvoyFilter: { owner: "Istio", how: "Heddle's sidecars are not Envoy" },
  List: { owner: "Kubernetes", how: "write its items one after another, separated by ---" },
  Deployment: { owner: "Kubernetes", how: "apply it with kubectl" },
  ConfigMap: { owner: "Kubernetes", how: "apply it with kubectl" },
  Ingress: { owner: "Kubernetes", how: "apply it with kubectl" },
  NetworkPolicy: { owner: "Kubernetes", here: "AccessPolicy", how: "write rules such as allow: { from: [shop/web] }" },
};

/** By API group or version: whose documents carry it. */
const FOREIGN_GROUPS: readonly (readonly [RegExp, string])[] = [
  [/\.istio\.io\//, "Istio"],
  [/^gateway\.networking\.k8s\.io\//, "the Gateway API"],
  [/(?:^|\.)linkerd\.io\//, "Linkerd"],
  [/^consul\.hashicorp\.com\//, "Consul"],
  [/^(?:v1|(?:apps|batch|autoscaling)\/v\d\w*|[a-z.]+\.k8s\.io\/v\d\w*)$/, "Kubernetes"],
];

/** What to say about a document that was written for another system; undefined when it does not look like one. */
export function recogniseForeign(apiVersion: unknown, kind: string): { message: string; hint: string } | undefined {
  const group = typeof apiVersion === "string" ? apiVersion : "";
  const owner = FOREIGN_GROUPS.find(([pattern]) => pattern.test(group))?.[1];
  const known = Object.hasOwn(FOREIGN_KINDS, kind) ? FOREIGN_KINDS[kind] : undefined;
  if (known !== undefined) {
    const here = known.here === undefined ? "Heddle has no such document" : `Heddle's is ${known.here}`;
    return { message: `${kind} is ${possessive(owner ?? known.owner)}; ${here}`, hint: known.how };
  }
  if (owner === undefined) return undefined;
  const message = `this ${kind} is ${possessive(owner)} (${group}), not Heddle's`;
  return { message, hint: "Heddle's documents begin with apiVersion: heddle/v1" };
}

function possessive(owner: string): string {
  return owner.endsWith("s") ? `${owner}'` : `${owner}'s`;
}
