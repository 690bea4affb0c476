/** Keeps one child process running: whatever ends it, it is started again, at a growing distance when it keeps ending. */

import { backoffMs, messageOf, pause } from "../../projections/backoff.ts";

/** A process that is ready for use. */
export interface SupervisedChild {
  readonly pid: number;
  /** Resolves when it has ended, with how, in words. */
  readonly exited: Promise<string>;
  /** Ends it, gently first; resolves when it has ended. */
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  /** What people call it. */
  readonly name: string;
  /** Resolves with a child that is ready; rejects, in words, when it did not become so. */
  readonly launch: () => Promise<SupervisedChild>;
  /** Told, in words, what happens. */
  readonly note: (message: string) => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A child that lived as long as this was all right: when it ends, that begins a new count. */
const HEALTHY_LIFE_MS = 30_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #stopping = new AbortController();
  #child: SupervisedChild;
  readonly #watching: Promise<void>;

  private constructor(options: SupervisorOptions, child: SupervisedChild) {
    this.#options = options;
    this.#child = child;
    this.#watching = this.#watch();
  }

  /** Launches the child for the first time; if that fails there is nothing to supervise, and this rejects. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    return new Supervisor(options, await options.launch());
  }

  /**
   * Stops one after the other. From the beginning none is started again: who stops us, such as systemd, may have told
   * all processes at once, and those whose turn comes late have ended by then.
   */
  static async stopInTurn(supervisors: readonly Supervisor[]): Promise<void> {
    for (const supervisor of supervisors) supervisor.#stopping.abort();
    for (const supervisor of supervisors) await supervisor.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#child.stop();
    await this.#watching;
    // One that was being launched when we were told to stop.
    await this.#child.stop();
  }

  async #watch(): Promise<void> {
    const { name, note } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    for (let startedMs = performance.now(); ; startedMs = performance.now()) {
      const ending = await this.#child.exited;
      if (signal.aborted) return;
      failures = performance.now() - startedMs > HEALTHY_LIFE_MS ? 1 : failures + 1;
      note(`${name} has ended (${ending}); starting it again`);
      const relaunched = await this.#relaunch(failures);
      if (relaunched === undefined) return;
      failures = relaunched;
    }
  }

  /** Tries until the child is there again; resolves with the failures in a row by then. Undefined: told to stop. */
  async #relaunch(failuresSoFar: number): Promise<number | undefined> {
    const { name, launch, note, random } = this.#options;
    const { signal } = this.#stopping;
    for (let failures = failuresSoFar; ; failures++) {
      await pause(backoffMs(failures, random), signal);
      if (signal.aborted) return undefined;
      try {
        this.#child = await launch();
        // Told to stop meanwhile: `stop` ends it.
        if (signal.aborted) return undefined;
        note(`${name} is back (process ${this.#child.pid})`);
        return failures;
      } catch (error) {
        note(`${name} could not be started, trying again: ${messageOf(error)}`);
      }
    }
  }
}
