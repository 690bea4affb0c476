/**
 * The sidecar's own HTTP endpoints, away from the request path. Three listeners, as Istio has them: admin (loopback
 * only: a reachable quit is a denial of service), health and metrics.
 */

import type { MetricsPage } from "../../telemetry/metrics-page.ts";
import type { Address } from "../io/address.ts";

/** What the endpoints show and can do. */
export interface AdminPort {
  /** Undefined: ready. Otherwise what is missing, in words. */
  notReady(): string | undefined;
  configDump(): unknown;
  clusters(): Promise<unknown>;
  /** Public parts only. */
  certificates(): unknown;
  readonly metrics: Pick<MetricsPage, "render">;
  drain(): void;
  quit(): void;
}

export interface AdminListener {
  readonly address: Address;
  close(): void;
}

type Handler = () => Response | Promise<Response>;

const json = (value: unknown): Response => Response.json(value);

function healthRoutes(port: AdminPort): Record<string, Handler> {
  return {
    "/healthz/live": () => new Response("live\n"),
    "/healthz/ready": () => {
      const missing = port.notReady();
      return missing === undefined ? new Response("ready\n") : new Response(`not ready: ${missing}\n`, { status: 503 });
    },
  };
}

function metricsRoutes(port: AdminPort): Record<string, Handler> {
  const page: Handler = async () => {
    const { text, contentType } = await port.metrics.render();
    return new Response(text, { headers: { "content-type": contentType } });
  };
  return { "/metrics": page, "/stats/prometheus": page };
}

function adminRoutes(port: AdminPort): Record<string, Handler> {
  const metrics = metricsRoutes(port);
  return {
    ...healthRoutes(port),
    ...metrics,
    "/stats": metrics["/metrics"] ?? (() => new Response()),
    "/config_dump": () => json(port.configDump()),
    "/clusters": async () => json(await port.clusters()),
    "/certs": () => json(port.certificates()),
  };
}

function commandRoutes(port: AdminPort): Record<string, Handler> {
  return {
    "/drain_listeners": () => {
      port.drain();
      return new Response("draining\n");
    },
    "/quitquitquit": () => {
      port.quit();
      return new Response("quitting\n");
    },
  };
}

/** `Host` as somebody on this machine writes it; a page whose name was made to resolve to loopback says its own. */
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * What a page in somebody's browser sends to loopback says so; a person who types the address does not come from one.
 */
function isPage({ headers }: Request): boolean {
  return headers.has("origin") || (headers.get("sec-fetch-site") ?? "none") !== "none";
}

interface Pages {
  readonly get: Record<string, Handler>;
  readonly post: Record<string, Handler>;
  /** Whoever asks must take us for loopback. */
  readonly loopbackOnly: boolean;
}

function listen(address: Address, { get, post, loopbackOnly }: Pages): AdminListener {
  const server = Bun.serve({
    hostname: address.host,
    port: address.port,
    fetch(request) {
      const { pathname, hostname } = new URL(request.url);
      if (isPage(request) || (loopbackOnly && !LOOPBACK_HOST.test(hostname))) {
        return new Response("not for browsers\n", { status: 403 });
      }
      const { method } = request;
      const handler = method === "GET" ? lookUp(get, pathname) : method === "POST" ? lookUp(post, pathname) : undefined;
      if (handler !== undefined) return handler();
      const allow =
        lookUp(get, pathname) !== undefined ? "GET" : lookUp(post, pathname) !== undefined ? "POST" : undefined;
      if (allow !== undefined) return new Response(`use ${allow}\n`, { status: 405, headers: { allow } });
      const known = [...Object.keys(get).map((path) => `GET ${path}`), ...Object.keys(post).map((p) => `POST ${p}`)];
      return new Response(`${known.join("\n")}\n`, { status: pathname === "/" ? 200 : 404 });
    },
  });
  return {
    address: { host: address.host, port: server.port ?? address.port },
    close: () => void server.stop(true),
  };
}

function lookUp(table: Record<string, Handler>, path: string): Handler | undefined {
  return Object.hasOwn(table, path) ? table[path] : undefined;
}

/** `/config_dump`, `/clusters`, `/certs`, `/stats`, health, metrics, and the two commands, which take POST only. */
export function listenAdmin(address: Address, port: AdminPort): AdminListener {
  return listen(address, { get: adminRoutes(port), post: commandRoutes(port), loopbackOnly: true });
}

/** `/healthz/ready` and `/healthz/live`. */
export function listenHealth(address: Address, port: AdminPort): AdminListener {
  return listen(address, { get: healthRoutes(port), post: {}, loopbackOnly: false });
}

/** `/metrics` and `/stats/prometheus`. */
export function listenMetrics(address: Address, port: AdminPort): AdminListener {
  return listen(address, { get: metricsRoutes(port), post: {}, loopbackOnly: false });
}
