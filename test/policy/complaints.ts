/** Policy texts to complain about, and the complaints as people see them. */

import { parsePolicy } from "../../src/policy/parse.ts";
import { formatProblem } from "../../src/policy/problems.ts";

/** What stands in the file, and every line of complaint about it. */
export type Case = [body: string, problems: string[]];

const head = (kind: string): string =>
  `apiVersion: heddle/v1\nkind: ${kind}\nmetadata: { namespace: shop, name: x }\nspec:\n`;
export const mesh = (spec: string): string =>
  `apiVersion: heddle/v1\nkind: Mesh\nmetadata: { name: default }\nspec:\n  ${spec}\n`;
export const service = (spec: string): string => `${head("Service")}  ${spec}\n`;
export const route = (rule: string): string => `${head("Route")}  service: x\n  rules:\n    - ${rule}\n`;
export const access = (rule: string): string => `${head("AccessPolicy")}  service: x\n  rules:\n    - ${rule}\n`;
export const limit = (rule: string): string => `${head("RateLimit")}  service: x\n  rules:\n    - ${rule}\n`;

export function problemsOf(...texts: string[]): string[] {
  const result = parsePolicy(texts.map((text, index) => ({ file: index === 0 ? "f" : `f${index + 1}`, text })));
  return result.ok ? [] : result.error.map(formatProblem);
}
