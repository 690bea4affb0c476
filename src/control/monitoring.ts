/** The replica's HTTP side for machines: `/metrics` and `/healthz`. */

import type { MetricsPage } from "../telemetry/metrics-page.ts";

export interface ListenAddress {
  readonly hostname: string;
  /** 0: one that the system picks. */
  readonly port: number;
}

export interface MonitoringOptions {
  readonly address: ListenAddress;
  readonly page: MetricsPage;
  /** Why this replica is of no use at the moment; undefined when it is. */
  readonly ailment: () => string | undefined;
}

/** The HTTP side while it listens. */
export interface Monitoring {
  /** Such as `http://127.0.0.1:15014`. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Listens. Throws where the address is taken. */
export function serveMonitoring({ address, page, ailment }: MonitoringOptions): Monitoring {
  const { hostname, port } = address;
  const server = Bun.serve({
    hostname,
    port,
    routes: {
      "/metrics": {
        GET: async () => {
          const { text, contentType } = await page.render();
          return new Response(text, { headers: { "content-type": contentType } });
        },
      },
      "/healthz": {
        GET: () => {
          const reason = ailment();
          return new Response(`${reason ?? "ok"}\n`, { status: reason === undefined ? 200 : 503 });
        },
      },
    },
    fetch: () => new Response("not found\n", { status: 404 }),
  });
  return { url: server.url.origin, stop: () => server.stop(true) };
}
