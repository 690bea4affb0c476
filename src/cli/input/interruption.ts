/** Ctrl-C, or a SIGTERM, while something is under way whose outcome has to be told. */

import { EXIT_FAILED } from "../failure.ts";

/** Notes the first signal, for whoever can end in good order; a second one ends the process. */
export class Interruption implements Disposable {
  #isAsked = false;
  readonly #onSignal = (): void => {
    if (this.#isAsked) process.exit(EXIT_FAILED);
    this.#isAsked = true;
  };

  constructor() {
    process.on("SIGINT", this.#onSignal).on("SIGTERM", this.#onSignal);
  }

  /** Whether to end at the next good place. */
  get isAsked(): boolean {
    return this.#isAsked;
  }

  [Symbol.dispose](): void {
    process.off("SIGINT", this.#onSignal).off("SIGTERM", this.#onSignal);
  }
}
