/** Many places in documents, said in few words. */

/**
 * Places with the same parent as one: `spec.pool.max` and `spec.pool.min` become `spec.pool (max, min)`. In the order
 * of each parent's first; a place without a parent stands for itself.
 */
export function foldPlaces(places: readonly string[]): string[] {
  const groups = Map.groupBy(places, (place) => place.slice(0, Math.max(0, place.lastIndexOf("."))));
  return Array.from(groups, ([parent, own]) => {
    if (parent === "") return own;
    const names = own.map((place) => place.slice(parent.length + 1));
    return names.length === 1 ? own : [`${parent} (${names.join(", ")})`];
  }).flat();
}
