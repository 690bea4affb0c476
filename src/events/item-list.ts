/** Lists inside sentences. */

/** Items of a list that are named; the rest is counted. */
const ITEMS_MAX = 5;

/** The items with commas between; beyond `ITEMS_MAX`, only how many more there are. */
export function itemList(items: readonly string[]): string {
  const rest = items.length - ITEMS_MAX;
  return rest <= 0 ? items.join(", ") : `${items.slice(0, ITEMS_MAX).join(", ")} and ${rest} more`;
}
