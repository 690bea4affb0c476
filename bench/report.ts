/** Tables for people: medians over the rounds, one table per scenario. */

import type { Results, Sample } from "./measure.ts";
import { OPEN_LOOP } from "./scenario.ts";
import { median, spread } from "./statistics.ts";

type Row = readonly string[];

/** @param control the entrant that is the first contender once more. */
export function report(results: Results, control: string): string {
  const scenarios = Map.groupBy(results.samples, ({ scenario }) => scenario);
  const parts = [...scenarios].map(([scenario, samples]) => scenarioTable(scenario, samples));
  parts.push(
    latencyTable(results),
    handshakeTable(results),
    memoryTable(results),
    controlText(results.samples, control),
  );
  return parts.join("\n\n");
}

function scenarioTable(scenario: string, samples: readonly Sample[]): string {
  const rows = byMedian(samples, ({ cpuUsPerRequest }) => cpuUsPerRequest).map(([name, own]) => {
    const of = (value: (sample: Sample) => number): number => median(own.map(value));
    const cpu = own.map(({ cpuUsPerRequest }) => cpuUsPerRequest);
    const failed = own.reduce((sum, one) => sum + one.failed, 0);
    const range = Number.isNaN(median(cpu)) ? "-" : `${fixed(Math.min(...cpu), 1)}-${fixed(Math.max(...cpu), 1)}`;
    return [
      name,
      fixed(median(cpu), 1),
      range,
      fixed(of(({ requestsPerSecond }) => requestsPerSecond)),
      fixed(of(({ p50Us }) => p50Us)),
      fixed(of(({ p99Us }) => p99Us)),
      failed === 0 ? "" : `${failed} failed`,
    ];
  });
  return `${scenario}\n${table([["", "CPU µs/request", "range", "requests/s", "p50 µs", "p99 µs", ""], ...rows])}`;
}

/** Beside the direct call's, where there is one: what two proxies add to it. */
function latencyTable({ openLoop }: Results): string {
  const direct = openLoop.filter(({ contender }) => contender === "direct");
  const [p50, p99] = [median(direct.map(({ p50Us }) => p50Us)), median(direct.map(({ p99Us }) => p99Us))];
  const rows = byMedian(openLoop, ({ p50Us }) => p50Us).map(([name, own]) => {
    const [ownP50, ownP99] = [median(own.map(({ p50Us }) => p50Us)), median(own.map(({ p99Us }) => p99Us))];
    const failed = own.reduce((sum, one) => sum + one.failed, 0);
    const added = name === "direct" ? ["-", "-"] : [fixed(ownP50 - p50), fixed(ownP99 - p99)];
    return [name, fixed(ownP50), fixed(ownP99), ...added, failed === 0 ? "" : `${failed} failed`];
  });
  const { requestsPerSecond, connections, bodyBytes } = OPEN_LOOP;
  const title = `Open loop, ${requestsPerSecond} requests/s over ${connections} connections, ${bodyBytes} B`;
  return `${title}\n${table([["", "p50 µs", "p99 µs", "p50 added", "p99 added", ""], ...rows])}`;
}

function handshakeTable({ handshakes }: Results): string {
  const rows = byMedian(handshakes, ({ cpuUsPerHandshake }) => cpuUsPerHandshake).map(([name, own]) => [
    name,
    fixed(median(own.map(({ cpuUsPerHandshake }) => cpuUsPerHandshake))),
    fixed(median(own.map(({ handshakesPerSecond }) => handshakesPerSecond))),
  ]);
  return `Handshakes, mutual TLS 1.3, one after another\n${table([["", "CPU µs", "per second"], ...rows])}`;
}

function memoryTable({ idleMemory, finalMemory }: Results): string {
  const rows = Object.entries(idleMemory).map(([name, idle]) => {
    const after = finalMemory[name] ?? idle;
    return [name, mb(idle.rssKb), mb(idle.pssKb), mb(idle.privateKb), mb(after.rssKb), mb(after.privateKb)];
  });
  const head = ["", "idle RSS", "PSS", "private", "after load RSS", "private"];
  return `Memory of both proxies, MB\n${table([head, ...rows])}`;
}

/** The control measures the same program twice: what differs is the machine's doing, and no smaller difference counts. */
function controlText(samples: readonly Sample[], control: string): string {
  const original = control.replace(/ again$/, "");
  const rows: Row[] = [];
  for (const [scenario, of] of Map.groupBy(samples, (sample) => sample.scenario)) {
    const cpu = (name: string): number[] =>
      of.filter(({ contender }) => contender === name).map(({ cpuUsPerRequest }) => cpuUsPerRequest);
    const [one, other] = [cpu(original), cpu(control)];
    rows.push([scenario, fixed(median(other) / median(one), 3), `±${fixed(100 * spread([...one, ...other]))} %`]);
  }
  return `Control: ${control} against ${original}, CPU µs/request\n${table([["", "ratio", "spread"], ...rows])}`;
}

/** Samples by contender, cheapest first, those without a figure last. */
function byMedian<T extends { readonly contender: string }>(samples: readonly T[], value: (sample: T) => number) {
  const rank = (own: readonly T[]): number => {
    const figure = median(own.map(value));
    return Number.isNaN(figure) ? Number.POSITIVE_INFINITY : figure;
  };
  return [...Map.groupBy(samples, ({ contender }) => contender)].sort(([, a], [, b]) => rank(a) - rank(b));
}

function table(rows: readonly Row[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: Row): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ");
  return rows.map((row) => `  ${line(row)}`.trimEnd()).join("\n");
}

function fixed(value: number, digits = 0): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "-";
}

function mb(kb: number): string {
  return fixed(kb / 1024, 1);
}
