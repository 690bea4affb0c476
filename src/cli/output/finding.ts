/** One line of what `heddle check` found. */

export type Verdict = "ok" | "warn" | "fail" | "skip";

export interface Finding {
  readonly group: "NATS" | "control" | "instances" | "policy";
  /** What ought to hold. */
  readonly check: string;
  readonly verdict: Verdict;
  readonly detail: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** Things that are named in one line; the rest is counted. */
const NAMED_MAX = 5;

/** The hint is for where it does not hold. */
export function finding(
  group: Finding["group"],
  check: string,
  verdict: Verdict,
  { detail, hint }: { readonly detail: string; readonly hint?: string },
): Finding {
  return { group, check, verdict, detail, ...(verdict === "ok" || hint === undefined ? {} : { hint }) };
}

/** Findings that are fine as long as nobody is on a list, and otherwise of the given verdict. */
export function listed(group: Finding["group"], otherwise: Verdict) {
  return (check: string, list: readonly string[], hint: string, fine = ""): Finding =>
    finding(group, check, list.length === 0 ? "ok" : otherwise, {
      detail: list.length === 0 ? fine : named(list),
      hint,
    });
}

/** Names for a sentence; beyond `NAMED_MAX`, only how many more there are. */
export function named(list: readonly string[]): string {
  const rest = list.length - NAMED_MAX;
  return `${list.slice(0, NAMED_MAX).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
