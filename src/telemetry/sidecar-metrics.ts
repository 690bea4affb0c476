/** What a sidecar says of itself, beside its requests. */

import { CellFamily, computed, type MetricFamily } from "./metric-family.ts";

/** The owner of each number changes it in place; labels name upstreams of policy, as `namespace/name`. */
export class SidecarMetrics {
  /** Revision of the snapshot in force; 0: none. */
  snapshotRevision = 0;
  /** When control last confirmed that this snapshot is the current one, in milliseconds since 1970. */
  snapshotConfirmedMs: number | undefined;
  /** End of the current leaf's validity, in seconds since 1970. */
  certificateExpiryS: number | undefined;

  readonly retries = new CellFamily("counter", "heddle_retries_total", "Attempts beyond the first.", ["upstream"]);
  readonly circuitOpen = new CellFamily(
    "gauge",
    "heddle_circuit_open",
    "1 while the upstream takes no more connections, pending requests or requests.",
    ["upstream"],
  );
  readonly ejections = new CellFamily(
    "gauge",
    "heddle_outlier_ejections_active",
    "Endpoints taken out of load balancing for their failures.",
    ["upstream"],
  );
  readonly overflows = new CellFamily(
    "counter",
    "heddle_upstream_overflow_total",
    "Times that a bound of the upstream's connectionPool was met.",
    ["upstream", "bound"],
  );
  readonly ejectionsTotal = new CellFamily(
    "counter",
    "heddle_outlier_ejections_total",
    "Endpoints taken out of load balancing so far, by what they did.",
    ["upstream", "reason"],
  );
  readonly connections = new CellFamily(
    "gauge",
    "heddle_upstream_connections_active",
    "Open connections to the sidecars of the upstream.",
    ["upstream"],
    "sum",
  );
  readonly mirrored = new CellFamily<"outcome">(
    "counter",
    "heddle_mirrored_requests_total",
    "Copies of requests that nobody waited for: those sent by what became of them, and those that came in.",
    ["outcome"],
  );
  readonly faults = new CellFamily<"kind">("counter", "heddle_faults_injected_total", "Failures made on purpose.", [
    "kind",
  ]);
  readonly denied = new CellFamily<"reason">("counter", "heddle_denied_total", "Requests turned away by policy.", [
    "reason",
  ]);

  /** Attempts to renew the certificate that failed since the last one that did not. */
  renewalFailures = 0;
  readonly renewals = new CellFamily<"outcome">(
    "counter",
    "heddle_certificate_renewals_total",
    "Certificates asked for.",
    ["outcome"],
  );

  readonly peersRefused = new CellFamily<"direction" | "reason">(
    "counter",
    "heddle_peers_refused_total",
    "Peers whose certificate was not believed, by who had called whom.",
    ["direction", "reason"],
  );
  readonly limitsMet = new CellFamily<"direction" | "limit">(
    "counter",
    "heddle_limits_met_total",
    "Connections of callers that were closed because they met a bound of the sidecar.",
    ["direction", "limit"],
  );
  /** Calls that the traffic ledger does not have, though there were such. */
  trafficDropped = 0;
  /** Summaries that the traffic ledger has acknowledged. */
  trafficStored = 0;

  readonly connectionsRevoked = new CellFamily<"direction">(
    "counter",
    "heddle_connections_revoked_total",
    "Open connections that were closed because an identity was revoked.",
    ["direction"],
  );
  readonly jwksFetches = new CellFamily<"uri" | "result">(
    "counter",
    "heddle_jwks_fetches_total",
    "Times that the keys of a token issuer were fetched.",
    ["uri", "result"],
  );
  readonly audited = new CellFamily<"rule" | "outcome">(
    "counter",
    "heddle_access_audit_total",
    "Requests of which a rule that decides nothing (audit, dry run) had something to say.",
    ["rule", "outcome"],
  );

  /** For `MetricsPage`. `now`: milliseconds since 1970. */
  families(now: () => number): MetricFamily[] {
    return [
      computed("gauge", "heddle_snapshot_revision", "Revision of the snapshot in force.", () => this.snapshotRevision),
      computed("gauge", "heddle_snapshot_age_seconds", "Since control last confirmed the snapshot.", () =>
        this.snapshotConfirmedMs === undefined ? undefined : (now() - this.snapshotConfirmedMs) / 1000,
      ),
      computed(
        "gauge",
        "heddle_certificate_expiry_timestamp_seconds",
        "When the certificate in use ends.",
        () => this.certificateExpiryS,
      ),
      computed(
        "gauge",
        "heddle_certificate_renewal_failures",
        "Attempts to renew the certificate that failed in a row; 0 while all is well.",
        () => this.renewalFailures,
      ),
      computed(
        "counter",
        "heddle_traffic_calls_dropped_total",
        "Calls that are missing from the traffic ledger.",
        () => this.trafficDropped,
      ),
      computed(
        "counter",
        "heddle_traffic_summaries_total",
        "Summaries that the traffic ledger has taken.",
        () => this.trafficStored,
      ),
      this.renewals,
      this.retries,
      this.circuitOpen,
      this.ejections,
      this.ejectionsTotal,
      this.overflows,
      this.connections,
      this.denied,
      this.mirrored,
      this.faults,
      this.audited,
      this.jwksFetches,
      this.peersRefused,
      this.limitsMet,
      this.connectionsRevoked,
      ...processFamilies(),
    ];
  }
}

/** Under the names that every Prometheus client uses, so that existing dashboards find them. */
export function processFamilies(): MetricFamily[] {
  return [
    computed("counter", "process_cpu_seconds_total", "CPU time, user and system.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    computed(
      "gauge",
      "process_resident_memory_bytes",
      "Resident memory.",
      () => process.memoryUsage.rss(),
      // Pages that processes share count once in each: an upper bound.
      "sum",
    ),
    computed(
      "gauge",
      "process_start_time_seconds",
      "When the process began, in seconds since 1970.",
      () => Math.round(performance.timeOrigin / 1000),
      "first",
    ),
  ];
}
