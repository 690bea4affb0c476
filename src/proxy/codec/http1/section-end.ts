/** Where a head or a trailer section ends, and whether its lines end as they must (RFC 9112 §2.2). */

import type { StreamFault } from "../message.ts";
import { FAULTS } from "./fault.ts";
import { CR, LF } from "./grammar.ts";
import type { InputBuffer } from "./input-buffer.ts";

const SECTION_END = Buffer.from("\r\n\r\n", "latin1");

/** Returned while the end has not arrived. */
export const INCOMPLETE = -1;

/**
 * Looks for the empty line that ends a section. Remembers how far it has looked, so that a section which arrives byte
 * by byte costs no more than one which arrives whole, and so that a bare CR or LF is refused when it arrives: its
 * sender may believe that the section is over, and wait.
 */
export class SectionEnd {
  #scanned = 0;

  /** Forgets what it has looked at: the section begins later than it seemed to. */
  restart(): void {
    this.#scanned = 0;
  }

  /**
   * The position in `input.bytes` after the empty line, `INCOMPLETE`, or a fault. `tooLarge` is the fault for a
   * section of more than `bytesMax` bytes.
   */
  find(input: InputBuffer, bytesMax: number, tooLarge: StreamFault): number | StreamFault {
    const { bytes, start, end } = input;
    const found = bytes.indexOf(SECTION_END, start + Math.max(0, this.#scanned - 3));
    // Past `end` a gathering buffer holds old bytes.
    if (found >= 0 && found + 4 <= end && found + 4 - start <= bytesMax) {
      this.#scanned = 0;
      return found + 4;
    }
    const limit = Math.min(end, start + bytesMax);
    const from = start + this.#scanned;
    const fault = lineEndingFault(bytes, from, limit, this.#scanned === 0 ? 0 : bytes[from - 1]);
    if (fault !== undefined) return fault;
    if (end - start >= bytesMax) return tooLarge;
    this.#scanned = end - start;
    return INCOMPLETE;
  }
}

/**
 * Looks in `bytes[from, to)` for a CR without LF or an LF without CR; `previous` is the byte before it, 0 at the start
 * of a section. A CR at the very end may still be completed.
 */
export function lineEndingFault(bytes: Uint8Array, from: number, to: number, previous = 0): StreamFault | undefined {
  let before = previous;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    if ((before === CR) !== (byte === LF)) return FAULTS.bareLineEnding;
    before = byte;
  }
  return undefined;
}
