/** Reads a head of either kind once all of it is there. */

import type { StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import type { InputBuffer } from "./input-buffer.ts";
import { INCOMPLETE, lineEndingFault, SectionEnd } from "./section-end.ts";

export class HeadReader<H extends object> {
  readonly #sectionEnd = new SectionEnd();
  readonly #bytesMax: number;
  readonly #parse: (text: string) => H | StreamFault;

  /** @param parse takes the head with its empty line, as latin1 */
  constructor(bytesMax: number, parse: (text: string) => H | StreamFault) {
    this.#bytesMax = bytesMax;
    this.#parse = parse;
  }

  /** The head begins later than it seemed to. */
  restart(): void {
    this.#sectionEnd.restart();
  }

  /** Takes the head off the input; undefined while it is not whole. A fault leaves the input as it is. */
  read(input: InputBuffer): H | StreamFault | undefined {
    const found = this.#sectionEnd.find(input, this.#bytesMax, FAULTS.headTooLarge);
    if (found === INCOMPLETE) return undefined;
    if (typeof found !== "number") return found;
    const { bytes, start } = input;
    const head = this.#parse(bytes.toString("latin1", start, found));
    // So that a head is refused for the same reason however it was cut into packets.
    if ("kind" in head) return lineEndingFault(bytes, start, found) ?? head;
    input.skip(found - start);
    return head;
  }
}
