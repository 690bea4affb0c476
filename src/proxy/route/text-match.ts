/** How policy compares one text: a header, a parameter, a cookie. */

import type { StringMatch } from "../../projections/snapshot.ts";
import { compileRegex } from "./regex.ts";

/** Takes undefined for what is not there. */
export type TextMatcher = (text: string | undefined) => boolean;

type Comparison = Exclude<StringMatch, { not: unknown }>;

/** What is not there has no text, so that only `present: false` and `not` hold for it. */
export function compileText(match: StringMatch): TextMatcher {
  if (!("not" in match)) return compileComparison(match);
  const holds = compileComparison(match.not);
  return (text) => !holds(text);
}

function compileComparison(match: Comparison): TextMatcher {
  if ("present" in match) return (text) => (text !== undefined) === match.present;
  if ("exact" in match) return (text) => text === match.exact;
  if ("prefix" in match) return (text) => text?.startsWith(match.prefix) ?? false;
  if ("suffix" in match) return (text) => text?.endsWith(match.suffix) ?? false;
  if ("contains" in match) return (text) => text?.includes(match.contains) ?? false;
  const matches = compileRegex(match.regex);
  return (text) => text !== undefined && matches(text);
}
