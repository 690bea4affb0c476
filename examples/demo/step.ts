/** One step of the story, and how it fails. */

import type { Shop } from "./shop.ts";

/** Prints a line below the step's title. */
export type Say = (line: string) => void;

export interface Step {
  readonly title: string;
  /** Plays the step. Resolves with what it showed, in one line; rejects where something did not hold. */
  run(shop: Shop, say: Say): Promise<string>;
}

/** What came over the wire is not what the story promises. */
export class NotSo extends Error {
  override readonly name = "NotSo";
}

/** Throws `NotSo` with `otherwise` unless the condition holds. */
export function hold(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new NotSo(otherwise);
}
