/**
 * Reads the Prometheus text format 0.0.4 strictly, so that a test sees what Prometheus would: every line must be well
 * formed, every sample belong to the family above it, no series occur twice, histograms be cumulative and complete.
 */

export interface ReadSample {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

export interface ReadFamily {
  readonly type: string;
  readonly samples: ReadSample[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

export function readExposition(text: string): Map<string, ReadFamily> {
  if (!text.endsWith("\n")) throw new Error("the last line is not ended");
  const families = new Map<string, ReadFamily>();
  let current: [name: string, family: ReadFamily] | undefined;
  const seen = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type?.[1] !== undefined && type[2] !== undefined) {
      if (families.has(type[1])) throw new Error(`twice: ${line}`);
      current = [type[1], { type: type[2], samples: [] }];
      families.set(...current);
      continue;
    }
    const sample = readSample(line);
    if (current === undefined || !belongs(sample.name, current)) throw new Error(`out of place: ${line}`);
    const key = line.slice(0, line.lastIndexOf(" "));
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    current[1].samples.push(sample);
  }
  for (const [name, family] of families) if (family.type === "histogram") checkHistogram(name, family);
  return families;
}

function belongs(name: string, [family, { type }]: [string, ReadFamily]): boolean {
  return type === "histogram"
    ? [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(name)
    : name === family;
}

function readSample(line: string): ReadSample {
  const [, name, body = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined || Number.isNaN(Number(value))) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < body.length) {
    const [, label, text] = LABEL.exec(body) ?? [];
    if (label === undefined || text === undefined || label in labels) throw new Error(`bad labels: ${line}`);
    labels[label] = text.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  }
  return { name, labels, value: Number(value) };
}

function checkHistogram(name: string, { samples }: ReadFamily): void {
  let previous = 0;
  let bound = Number.NEGATIVE_INFINITY;
  for (const sample of samples) {
    if (sample.name === `${name}_bucket`) {
      const le = sample.labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(sample.labels.le);
      if (!(le > bound) || sample.value < previous) throw new Error(`${name} is not cumulative at ${le}`);
      [previous, bound] = [sample.value, le];
    } else if (sample.name === `${name}_count`) {
      if (sample.value !== previous || bound !== Number.POSITIVE_INFINITY) throw new Error(`${name} lacks +Inf`);
      [previous, bound] = [0, Number.NEGATIVE_INFINITY];
    }
  }
}
