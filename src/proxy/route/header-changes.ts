/** Changes to headers that a rule asks for, compiled once. */

import type { HeaderChanges } from "../../projections/snapshot.ts";
import type { HeaderList } from "../codec/message.ts";

/** Changes the list in place. */
export type ChangeHeaders = (headers: HeaderList) => void;

/** Undefined where there is nothing to change. Removing and setting come before adding, as in Gateway API. */
export function compileHeaderChanges(
  ...all: readonly (HeaderChanges["request"] | undefined)[]
): ChangeHeaders | undefined {
  const changes = all.filter((one) => one !== undefined).map(compileOne);
  return changes.length === 0 ? undefined : (headers) => changes.forEach((change) => void change(headers));
}

function compileOne({ set = {}, add = {}, remove = [] }: NonNullable<HeaderChanges["request"]>): ChangeHeaders {
  const dropped = new Set([...remove, ...Object.keys(set)]);
  const appended = [...Object.entries(set), ...Object.entries(add)].flat();
  return (headers) => {
    if (dropped.size > 0) dropFields(headers, dropped);
    headers.push(...appended);
  };
}

/** In place, since whoever sent the list holds on to it. */
export function dropFields(headers: HeaderList, names: ReadonlySet<string>): void {
  let kept = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? "";
    if (names.has(name)) continue;
    headers[kept] = name;
    headers[kept + 1] = headers[at + 1] ?? "";
    kept += 2;
  }
  headers.length = kept;
}
