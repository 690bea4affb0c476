/** What the demo prints: each step as it goes, and a table at the end. */

import { type Paint, table } from "../../src/cli/output/output.ts";

interface Row {
  readonly title: string;
  readonly mark: string;
  readonly time: string;
  readonly summary: string;
}

const INDENT = "        ";

export class Report {
  readonly #steps: number;
  readonly #write: (text: string) => void;
  readonly #paint: Paint;
  readonly #rows: Row[] = [];
  #silent = false;

  /** `steps`: how many there will be. */
  constructor(steps: number, write: (text: string) => void, paint: Paint) {
    this.#steps = steps;
    this.#write = write;
    this.#paint = paint;
  }

  line(text: string): void {
    if (!this.#silent) this.#write(`${text}\n`);
  }

  begin(title: string): void {
    const place = `${this.#rows.length + 1}/${this.#steps}`.padStart(5);
    this.line(`${this.#paint("dim", place)}   ${this.#paint("bold", title)}`);
  }

  /** A line below the step at hand. */
  say(text: string): void {
    this.line(INDENT + this.#paint("dim", text));
  }

  /** The step at hand is over. */
  end(title: string, passed: boolean, durationMs: number, summary: string): void {
    const mark = passed ? this.#paint("green", "✓") : this.#paint("red", "✗");
    const time = `${(durationMs / 1000).toFixed(1)} s`;
    this.#rows.push({ title, mark, time, summary });
    this.line(`      ${mark} ${summary} ${this.#paint("dim", `(${time})`)}\n`);
  }

  /** All steps so far, a row each. */
  table(): string {
    const rows = this.#rows.map(({ mark, title, time, summary }) => [
      mark,
      title,
      time,
      summary.split("\n", 1)[0] ?? "",
    ]);
    return table(["", "step", "time", "what came over the wire"], rows);
  }

  /** Nothing more is printed: the demo is being taken down. */
  silence(): void {
    this.#silent = true;
  }
}
