import { expect, test } from "bun:test";
import { CellFamily, computed, Histogram, type MetricFamily } from "../../src/telemetry/metric-family.ts";
import { MetricSum, metricReport, reportOf } from "../../src/telemetry/metric-sum.ts";

/** One process: a counter, gauges of each kind, and a histogram. */
class Process {
  readonly counter = new CellFamily("counter", "calls", "", ["to"]);
  readonly open = new CellFamily("gauge", "open", "", ["to"], "sum");
  readonly tripped = new CellFamily("gauge", "tripped", "", ["to"]);
  readonly histogram = new Histogram([1, 10]);
  readonly families: readonly MetricFamily[];

  constructor(started: number) {
    this.families = [
      this.counter,
      this.open,
      this.tripped,
      computed("gauge", "started", "", () => started, "first"),
      {
        type: "histogram",
        name: "ms",
        help: "",
        bounds: [1, 10],
        samples: () => [{ labels: {}, histogram: this.histogram }],
      },
    ];
  }

  /** As it arrives at the other end of the channel. */
  report() {
    return metricReport.parse(JSON.parse(JSON.stringify(reportOf(this.families))));
  }
}

const shown = (sum: MetricSum): unknown => reportOf(sum.families);

test("counters and histograms add up, gauges as each says", () => {
  const [own, one, two] = [new Process(1), new Process(2), new Process(3)];
  const sum = new MetricSum(own.families);
  one.counter.cell({ to: "a" }).value = 3;
  two.counter.cell({ to: "a" }).value = 4;
  two.counter.cell({ to: "b" }).value = 5;
  one.open.cell({ to: "a" }).value = 6;
  two.open.cell({ to: "a" }).value = 7;
  one.tripped.cell({ to: "a" }).value = 1;
  two.tripped.cell({ to: "a" }).value = 0;
  one.histogram.observe(0.5);
  two.histogram.observe(50);
  sum.set(0, one.report());
  sum.set(1, two.report());
  expect(shown(sum)).toEqual({
    calls: [
      { labels: { to: "a" }, value: 7 },
      { labels: { to: "b" }, value: 5 },
    ],
    open: [{ labels: { to: "a" }, value: 13 }],
    tripped: [{ labels: { to: "a" }, value: 1 }],
    started: [{ labels: {}, value: 1 }],
    ms: [{ labels: {}, counts: [1, 0, 1], sum: 50.5 }],
  });
});

test("a counter does not go back when a process ends; its gauges go", () => {
  const [own, first, second] = [new Process(1), new Process(2), new Process(3)];
  const sum = new MetricSum(own.families);
  first.counter.cell({ to: "a" }).value = 3;
  first.open.cell({ to: "a" }).value = 6;
  sum.set(0, first.report());
  sum.departed(0);
  second.counter.cell({ to: "a" }).value = 1;
  sum.set(0, second.report());
  sum.departed(0);
  expect(shown(sum)).toMatchObject({ calls: [{ labels: { to: "a" }, value: 4 }], open: [] });
});

test("a series shows the same labels at every scrape, whose text is cached by the object", () => {
  const [own, one] = [new Process(1), new Process(2)];
  const sum = new MetricSum(own.families);
  const labels = (): unknown => {
    one.counter.cell({ to: "a" }).value++;
    sum.set(0, one.report());
    return [...(sum.families[0]?.samples() ?? [])][0]?.labels;
  };
  const first = labels();
  expect(first).toBeDefined();
  expect(labels()).toBe(first);
});
