/**
 * Which of several processes an instance's name belongs to. At first, a restart looks like a second sidecar of the same
 * name: another process speaks under it. The difference is that after a restart the former process never speaks again.
 * So a new process gets the name at once, and loses it if the former one turns out to be alive. Of two that are alive,
 * the one that started first has it, so that every control replica comes to the same answer, whatever it heard first.
 */

import type { InstanceStatus } from "./snapshot.ts";

/** What tells a process from another of its name. */
type Process = Pick<InstanceStatus, "startedAt" | "host" | "port">;

/** Processes of one name that are kept apart; beyond them, who spoke longest ago is forgotten. */
const RIVALS_MAX = 8;

interface Rival {
  readonly process: Process;
  readonly heardMs: number;
}

export class NameHolder {
  #holder: Process;
  #heardMs: number;
  /** Whom the holder replaced: dead, unless it speaks again. */
  #former: Process | undefined;
  /** Alive beside the holder, by what they are told apart by. */
  readonly #rivals = new Map<string, Rival>();

  constructor(first: InstanceStatus, nowMs: number) {
    this.#holder = processOf(first);
    this.#heardMs = nowMs;
  }

  /** Whether the status is to be taken for the instance's: false where another process of the name has it. */
  hear(status: InstanceStatus, nowMs: number, ttlMs: number): boolean {
    const speaker = processOf(status);
    const key = keyOf(speaker);
    if (key === keyOf(this.#holder)) return this.#hold(speaker, nowMs);
    const isLeaving = status.state === "draining" || status.state === "gone";
    const wasHere = this.#rivals.has(key) || (this.#former !== undefined && keyOf(this.#former) === key);
    // Who leaves takes nobody's name, and takes nobody away but itself.
    if (isLeaving) {
      this.#forget(key);
      return false;
    }
    if (nowMs - this.#heardMs > ttlMs) return this.#hold(speaker, nowMs);
    if (!wasHere) {
      this.#former = this.#holder;
      return this.#hold(speaker, nowMs);
    }
    this.#forget(key);
    if (startedBefore(this.#holder, speaker)) {
      this.#note(speaker, nowMs);
      return false;
    }
    this.#note(this.#holder, nowMs);
    return this.#hold(speaker, nowMs);
  }

  /** `10.0.0.7:15006` of every other process that was heard within `ttlMs`. */
  rivals(nowMs: number, ttlMs: number): string[] {
    const alive = [...this.#rivals.values()].filter(({ heardMs }) => nowMs - heardMs <= ttlMs);
    return alive.map(({ process: { host, port } }) => `${host}:${port}`).sort();
  }

  #hold(process: Process, nowMs: number): true {
    this.#holder = process;
    this.#heardMs = nowMs;
    this.#rivals.delete(keyOf(process));
    return true;
  }

  #note(process: Process, heardMs: number): void {
    const [oldest] = this.#rivals.keys();
    if (this.#rivals.size >= RIVALS_MAX && oldest !== undefined) this.#rivals.delete(oldest);
    this.#rivals.set(keyOf(process), { process, heardMs });
  }

  #forget(key: string): void {
    this.#rivals.delete(key);
    if (this.#former !== undefined && keyOf(this.#former) === key) this.#former = undefined;
  }
}

/** By the clocks of their machines, which need only be read alike by everybody. */
function startedBefore(a: Process, b: Process): boolean {
  return keyOf(a) < keyOf(b);
}

/** In the order of when they started. */
function keyOf({ startedAt, host, port }: Process): string {
  return `${startedAt} ${host}:${port}`;
}

function processOf({ startedAt, host, port }: InstanceStatus): Process {
  return { startedAt, host, port };
}
