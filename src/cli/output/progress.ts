/** How far a command has come: one line of a terminal's standard error, written over, and gone when there is an answer. */

/** What is answered sooner needs no word about it. */
const SILENT_MS = 1_000;
const EVERY_MS = 200;
/** Back to the first column, and nothing to the right of it (ECMA-48, EL). */
const CLEARED = "\r\u001b[K";

export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Says nothing where the standard error is no terminal: a log is not the place for it. */
export class ProgressLine {
  readonly #stream: ProgressStream;
  readonly #nowMs: () => number;
  #nextMs: number;
  #isShown = false;

  constructor(stream: ProgressStream = process.stderr, nowMs: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#nowMs = nowMs;
    this.#nextMs = nowMs() + SILENT_MS;
  }

  /** Shows how far it is by now. May be called as often as there is something done. */
  at(text: () => string): void {
    if (this.#stream.isTTY !== true || this.#nowMs() < this.#nextMs) return;
    this.#nextMs = this.#nowMs() + EVERY_MS;
    this.#isShown = true;
    this.#stream.write(`${CLEARED}${text()}`);
  }

  /** Makes room for something else. */
  clear(): void {
    if (this.#isShown) this.#stream.write(CLEARED);
    this.#isShown = false;
  }
}

/** The same items, with a line that tells how far whoever takes them has come. */
export async function* withProgress<T>(
  items: Iterable<T> | AsyncIterable<T>,
  text: (item: T) => string,
  line: ProgressLine = new ProgressLine(),
): AsyncGenerator<T> {
  try {
    for await (const item of items) {
      line.at(() => text(item));
      yield item;
    }
  } finally {
    line.clear();
  }
}
