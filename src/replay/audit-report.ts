/** Who had access to what, how that changed, and by whom: a stretch of the ledger for those who have to check it. */

import { describe } from "../events/describe.ts";
import { formatMark, type LedgerMark } from "../events/ledger-mark.ts";
import type { MeshState } from "../events/state.ts";
import { parseServiceRef } from "../policy/names.ts";
import { declaredServices } from "../projections/call-graph.ts";
import { formatOrigin } from "../projections/snapshot.ts";
import { accessDiff } from "./access-diff.ts";
import { CallJudge } from "./call.ts";
import type { HistoryEntry } from "./history.ts";
import { callersWithAccess } from "./who-can.ts";

/** What a column of a report is about; the same word is its head. */
export const REPORT_COLUMNS = [
  "service",
  "caller",
  "calls",
  "change",
  "revision",
  "time",
  "by",
  "why",
  "rule",
  "signature",
] as const;
export type ReportColumn = (typeof REPORT_COLUMNS)[number];
export type ReportRow = Readonly<Partial<Record<ReportColumn, string>>>;

export interface ReportSection {
  readonly title: string;
  readonly columns: readonly ReportColumn[];
  readonly rows: readonly ReportRow[];
}

export interface AuditReport {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly sections: readonly ReportSection[];
}

/** One end of the stretch. */
export interface ReportEnd {
  readonly state: MeshState;
  /** RFC 3339, of its last change; undefined before the first. */
  readonly time: string | undefined;
}

export interface ReportSource {
  readonly from: ReportEnd;
  readonly to: ReportEnd;
  /** Changes of access in between, in order. */
  readonly entries: readonly HistoryEntry[];
  /** In words, for each change. */
  readonly signatureOf: (entry: HistoryEntry) => string;
  /** The whole ledger, as it was proved. */
  readonly mark: LedgerMark;
  /** What is wrong with the ledger, one sentence each. */
  readonly problems: readonly string[];
  readonly namespace: string | undefined;
}

/** Puts the report together, in the order in which an auditor reads it. */
export function auditReport(source: ReportSource): AuditReport {
  const { from, to, mark, problems, namespace } = source;
  const trustDomain = to.state.mesh?.value.trustDomain ?? "";
  const proof = problems.length === 0 ? "sound: chain and signatures hold" : `NOT SOUND: ${problems.join("; ")}`;
  return {
    title: `Access to the services of ${namespace === undefined ? "the mesh" : namespace}${trustDomain === "" ? "" : ` (${trustDomain})`}`,
    facts: [
      ["from", endText(from)],
      ["to", endText(to)],
      ["ledger", proof],
      ["head of the ledger", formatMark(mark)],
    ],
    sections: [
      accessSection(`Who had access at revision ${from.state.revision}`, from.state, namespace),
      changeSection(source),
      effectSection(source),
      accessSection(`Who had access at revision ${to.state.revision}`, to.state, namespace),
    ],
  };
}

function endText({ state, time }: ReportEnd): string {
  return `revision ${state.revision}${time === undefined ? "" : ` of ${time}`}`;
}

function accessSection(title: string, state: MeshState, namespace: string | undefined): ReportSection {
  const judge = new CallJudge(state);
  const services = [...declaredServices(state)].filter((ref) => inNamespace(ref, namespace)).sort();
  const rows = services.flatMap((service): ReportRow[] => {
    const name = parseServiceRef(service);
    const callers = name === undefined ? [] : callersWithAccess(judge, name);
    if (callers.length === 0) return [{ service, caller: "nobody" }];
    return callers.map(({ caller, words, origins }) => ({
      service,
      caller,
      calls: words.join("; "),
      rule: origins.length === 0 ? "the default of the mesh" : origins.map(formatOrigin).join(", "),
      by: [...new Set(origins.map(({ actor }) => actor))].join(", "),
    }));
  });
  return { title, columns: ["service", "caller", "calls", "rule", "by"], rows };
}

function changeSection({ entries, signatureOf }: ReportSource): ReportSection {
  const rows = entries.flatMap((entry): ReportRow[] => {
    const { revision, change } = entry.recorded;
    const facts = {
      revision: String(revision),
      time: change.time,
      by: change.data.actor.name,
      why: change.data.reason,
      signature: signatureOf(entry),
    };
    return entry.events.map((event) => ({ ...facts, change: describe(event) }));
  });
  const columns = ["revision", "time", "by", "change", "why", "signature"] as const;
  return { title: "What changed, by whom and why", columns, rows };
}

function effectSection({ from, to, namespace }: ReportSource): ReportSection {
  const rows = accessDiff(from.state, to.state, { namespace }).map(({ caller, service, change, words }): ReportRow => {
    const what = change === "started" ? "became possible" : "stopped being possible";
    return { caller, service, calls: words.join("; "), change: what };
  });
  const columns = ["caller", "service", "calls", "change"] as const;
  return { title: "What that came to", columns, rows };
}

function inNamespace(ref: string, namespace: string | undefined): boolean {
  return namespace === undefined || ref.startsWith(`${namespace}/`);
}
