/** Where finished requests are counted and written: shared by both sides of a sidecar. */

import type { AccessLog } from "../telemetry/access-log.ts";
import type { Edge, RequestMetrics, TcpSeries } from "../telemetry/request-metrics.ts";
import type { RequestRecord } from "../telemetry/request-record.ts";
import type { SidecarMetrics } from "../telemetry/sidecar-metrics.ts";
import type { Counter } from "./side.ts";

export interface Telemetry {
  readonly requests: RequestMetrics;
  readonly sidecar: SidecarMetrics;
  readonly accessLog: AccessLog | undefined;
}

export function countRequest(telemetry: Telemetry, record: RequestRecord, edge: Counter | undefined): void {
  edge?.count(record);
  telemetry.accessLog?.log(record);
}

/** Counts one TCP connection: open from now on, its bytes and its end when it is over. */
function tcpCounter(series: TcpSeries): Counter {
  series.connectionsOpened++;
  return {
    count(record) {
      series.receivedBytes += record.bytesReceived;
      series.sentBytes += record.bytesSent;
      series.connectionsClosed++;
    },
  };
}

/** Counters by what they belong to, a connection or an upstream, so that a request costs one look-up. */
export class EdgeCounters<K extends object> {
  readonly #requests: RequestMetrics;
  readonly #known = new WeakMap<K, Map<number, Counter>>();

  constructor(requests: RequestMetrics) {
    this.#requests = requests;
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
      counter = this.#requests.edge(edge());
      byPort.set(port, counter);
    }
    return counter;
  }

  /** A TCP connection that opens now. */
  tcp(edge: Edge): Counter {
    return tcpCounter(this.#requests.tcpEdge(edge));
  }
}
