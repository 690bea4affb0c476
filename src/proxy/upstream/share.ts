/** Draws by share. */

/** The index that a ticket falls on, each share being a stretch of that length; -1 beyond the last. */
export function indexAt(ticket: number, shares: Iterable<number>): number {
  let left = ticket;
  let index = 0;
  for (const share of shares) {
    left -= share;
    if (left < 0) return index;
    index++;
  }
  return -1;
}
