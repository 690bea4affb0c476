/** Where finished requests are counted and written: shared by both sides of a sidecar. */

import { type ServiceRef, serviceRef } from "../policy/names.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { Edge, RequestMetrics, TcpSeries } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import { type FlagSet, NO_FLAGS } from "../telemetry/response-flags.ts";
import type { SidecarMetrics } from "../telemetry/sidecar-metrics.ts";
import type { TrafficRecorder } from "../telemetry/traffic-recorder.ts";
import type { Counter } from "./side.ts";

/** Where what happened to requests is written. */
export interface Telemetry {
  readonly requests: RequestMetrics;
  readonly sidecar: SidecarMetrics;
  readonly accessLog: AccessLog | undefined;
  readonly traffic: TrafficRecorder;
}

/** Counts the requests of an edge, for metrics and for the traffic ledger. */
export function edgeCounter({ requests, traffic }: Pick<Telemetry, "requests" | "traffic">, edge: Edge): Counter {
  const series = requests.edge(edge);
  const calls = traffic.edge(trafficEdge(edge));
  return {
    count(record) {
      series.count(record);
      calls.count(record);
    },
  };
}

function trafficEdge({ reporter, source, serviceName, serviceNamespace }: Edge) {
  return {
    reporter,
    source: refOf(source.namespace, source.workload),
    destination: refOf(serviceNamespace, serviceName),
  };
}

function refOf(namespace: string | undefined, name: string | undefined): ServiceRef | undefined {
  const isKnown = namespace !== undefined && name !== undefined && namespace !== UNKNOWN;
  return isKnown ? serviceRef(namespace, name) : undefined;
}

/** What an edge says of a service that nobody knows. */
export const UNKNOWN = "unknown";

/** Counts a request that is over, and writes its access log line. */
export function countRequest(telemetry: Telemetry, record: RequestRecord, edge: Counter | undefined): void {
  edge?.count(record);
  telemetry.accessLog?.log(record);
}

/** Counts one TCP connection: open from now on, its bytes and its end when it is over. */
function tcpCounter(seriesOf: (flags: FlagSet) => TcpSeries, calls: Counter): Counter {
  seriesOf(NO_FLAGS).connectionsOpened++;
  return {
    count(record) {
      const series = seriesOf(record.flags);
      series.receivedBytes += record.bytesReceived;
      series.sentBytes += record.bytesSent;
      series.connectionsClosed++;
      calls.count(record);
    },
  };
}

/** Counters by what they belong to, a connection or an upstream, so that a request costs one look-up. */
export class EdgeCounters<K extends object> {
  readonly #telemetry: Telemetry;
  readonly #known = new WeakMap<K, Map<number, Counter>>();

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  /** `edge` is asked once for each key and port. */
  http(key: K, port: number, edge: () => Edge): Counter {
    let byPort = this.#known.get(key);
    if (byPort === undefined) {
      byPort = new Map();
      this.#known.set(key, byPort);
    }
    let counter = byPort.get(port);
    if (counter === undefined) {
      counter = edgeCounter(this.#telemetry, edge());
      byPort.set(port, counter);
    }
    return counter;
  }

  /** A TCP connection that opens now. */
  tcp(edge: Edge): Counter {
    const { requests, traffic } = this.#telemetry;
    return tcpCounter((flags) => requests.tcpEdge(edge, flags), traffic.edge(trafficEdge(edge)));
  }
}
