/**
 * Istio's standard metrics. A pair of caller and callee is an edge, interned once per connection or route; below it
 * every outcome that really occurred (status, flags, gRPC status) has its own series. Per request: one lookup by a
 * number, three walks along buckets.
 *
 * No label takes its value from what a client sends: workloads come from policy and verified certificates. What is
 * left to an upstream (its status codes) is bounded: past `seriesMax`, everything new is counted in one series whose
 * labels all say `overflow`.
 */

import { Interned, type Labels } from "./interned.ts";
import { Histogram, type MetricFamily, type Sample } from "./metric-family.ts";
import type { RequestRecord } from "./request-record.ts";
import { type FlagSet, formatFlags, NO_FLAGS } from "./response-flags.ts";

/** Istio's (and Envoy's) default buckets, for milliseconds and bytes alike. */
export const ISTIO_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** One series is 67 lines and 40 kB of a scrape: 20 MB at the bound, and some 60 ms of the event loop. */
const SERIES_MAX = 500;

/** What is known of one side; absent becomes `unknown`, as Istio has it. */
export interface Workload {
  readonly workload?: string | undefined;
  readonly namespace?: string | undefined;
  /** SPIFFE ID from a verified certificate. */
  readonly principal?: string | undefined;
  readonly app?: string | undefined;
  readonly version?: string | undefined;
}

export interface Edge {
  readonly reporter: "source" | "destination";
  readonly source: Workload;
  readonly destination: Workload;
  /** `<service>.<namespace>.<trust-domain>` of the service that was called. */
  readonly service: string;
  readonly serviceName: string;
  readonly serviceNamespace: string;
  /** Of the Service, as policy declares it; absent or 0: not known. */
  readonly port?: number | undefined;
  /** Istio has `unknown` at the source, which cannot see what the other side demanded. */
  readonly security: "mutual_tls" | "none" | "unknown";
}

/** One outcome on one edge. */
interface RequestSeries {
  readonly labels: Labels;
  requests: number;
  readonly durationMs: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
}

/** Totals of one edge's TCP connections, which their owner adds to. */
export interface TcpSeries {
  readonly labels: Labels;
  sentBytes: number;
  receivedBytes: number;
  connectionsOpened: number;
  connectionsClosed: number;
}

export class RequestMetrics {
  readonly #edges: Interned<RequestEdge>;
  readonly #tcp: Interned<TcpSeries>;
  readonly #series: Interned<RequestSeries>;

  constructor(seriesMax: number = SERIES_MAX) {
    this.#series = new Interned(seriesMax, newSeries);
    this.#edges = new Interned(seriesMax, (labels) => new RequestEdge(labels, this.#series));
    this.#tcp = new Interned(seriesMax, newTcpSeries);
  }

  /** The same for the same edge. Ask once per connection or route, not per request. */
  edge(edge: Edge): RequestEdge {
    return this.#edges.get(edgeLabels(edge));
  }

  /** As `edge`, for connections whose requests nobody sees. `flags`: of those that have ended, what they ended by. */
  tcpEdge(edge: Edge, flags: FlagSet = NO_FLAGS): TcpSeries {
    return this.#tcp.get({ ...edgeLabels(edge), request_protocol: "tcp", response_flags: formatFlags(flags) });
  }

  /** For `MetricsPage`. */
  families(): MetricFamily[] {
    const series = this.#series;
    const histogram = (name: string, help: string, of: (one: RequestSeries) => Histogram): MetricFamily => ({
      type: "histogram",
      name,
      help,
      bounds: ISTIO_BUCKETS,
      *samples() {
        for (const one of series.values()) yield { labels: one.labels, histogram: of(one) };
      },
    });
    return [
      counter("istio_requests_total", "Requests.", series, (one) => one.requests),
      histogram(
        "istio_request_duration_milliseconds",
        "From the first byte of the request to the last of the response.",
        (one) => one.durationMs,
      ),
      histogram("istio_request_bytes", "Request bodies.", (one) => one.requestBytes),
      histogram("istio_response_bytes", "Response bodies.", (one) => one.responseBytes),
      counter("istio_tcp_sent_bytes_total", "Bytes sent on TCP connections.", this.#tcp, (one) => one.sentBytes),
      counter("istio_tcp_received_bytes_total", "Bytes received on them.", this.#tcp, (one) => one.receivedBytes),
      counter(
        "istio_tcp_connections_opened_total",
        "TCP connections opened.",
        this.#tcp,
        (one) => one.connectionsOpened,
      ),
      counter(
        "istio_tcp_connections_closed_total",
        "TCP connections closed.",
        this.#tcp,
        (one) => one.connectionsClosed,
      ),
    ];
  }
}

/** Counts the requests between one caller and one callee. */
export class RequestEdge {
  readonly #labels: Labels;
  readonly #series: Interned<RequestSeries>;
  readonly #byOutcome = new Map<number, RequestSeries>();

  constructor(labels: Labels, series: Interned<RequestSeries>) {
    this.#labels = labels;
    this.#series = series;
  }

  /** Once per request, when it is over. */
  count(record: RequestRecord): void {
    const series = this.#byOutcome.get(outcomeKey(record)) ?? this.#intern(record);
    series.requests++;
    series.durationMs.observe(record.durationMs);
    series.requestBytes.observe(record.bytesReceived);
    series.responseBytes.observe(record.bytesSent);
  }

  #intern(record: RequestRecord): RequestSeries {
    const series = this.#series.get({
      ...this.#labels,
      request_protocol: record.isGrpc ? "grpc" : "http",
      response_code: String(record.status),
      grpc_response_status: record.grpcStatus === undefined ? "" : String(record.grpcStatus),
      response_flags: formatFlags(record.flags),
    });
    // Outcomes without a series of their own are not remembered, or the map would grow where series may not.
    if (!this.#series.isOverflow(series)) this.#byOutcome.set(outcomeKey(record), series);
    return series;
  }
}

/** Status, gRPC status, protocol and flags in one integer: below 2^53 for all that RequestRecord can hold. */
function outcomeKey({ status, grpcStatus = -1, isGrpc, flags }: RequestRecord): number {
  return ((flags * 1000 + status) * 32 + grpcStatus + 1) * 2 + (isGrpc ? 1 : 0);
}

function newSeries(labels: Labels): RequestSeries {
  return {
    labels,
    requests: 0,
    durationMs: new Histogram(ISTIO_BUCKETS),
    requestBytes: new Histogram(ISTIO_BUCKETS),
    responseBytes: new Histogram(ISTIO_BUCKETS),
  };
}

function newTcpSeries(labels: Labels): TcpSeries {
  return { labels, sentBytes: 0, receivedBytes: 0, connectionsOpened: 0, connectionsClosed: 0 };
}

function edgeLabels(edge: Edge): Labels {
  return {
    reporter: edge.reporter,
    ...workloadLabels("source", edge.source),
    ...workloadLabels("destination", edge.destination),
    destination_service: edge.service,
    destination_service_name: edge.serviceName,
    destination_service_namespace: edge.serviceNamespace,
    destination_port: edge.port ? String(edge.port) : "unknown",
    connection_security_policy: edge.security,
  };
}

function workloadLabels(side: "source" | "destination", workload: Workload): Labels {
  return {
    [`${side}_workload`]: workload.workload ?? "unknown",
    [`${side}_workload_namespace`]: workload.namespace ?? "unknown",
    [`${side}_principal`]: workload.principal ?? "unknown",
    [`${side}_app`]: workload.app ?? "unknown",
    [`${side}_version`]: workload.version ?? "unknown",
  };
}

function counter<T extends { readonly labels: Labels }>(
  name: string,
  help: string,
  series: Interned<T>,
  read: (one: T) => number,
): MetricFamily {
  return {
    type: "counter",
    name,
    help,
    *samples(): Iterable<Sample> {
      for (const one of series.values()) yield { labels: one.labels, value: read(one) };
    },
  };
}
