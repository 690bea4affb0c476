/** Names of operators, as a command line gives them. */

import { InvalidArgumentError } from "commander";
import { isSystemName, OPERATOR_NAME, OPERATOR_NAME_WORDS, SYSTEM_ACTOR } from "../../events/commands.ts";

/** Throws commander's `InvalidArgumentError`. */
export function parseOperatorName(text: string): string {
  const wrong = operatorNameProblem(text);
  if (wrong !== undefined) throw new InvalidArgumentError(wrong);
  return text;
}

/** What keeps a text from naming an operator; undefined: nothing. */
export function operatorNameProblem(text: string): string | undefined {
  if (!OPERATOR_NAME.test(text)) return `An operator's name is ${OPERATOR_NAME_WORDS}.`;
  return isSystemName(text)
    ? `History calls the control plane itself ${SYSTEM_ACTOR}: choose another name.`
    : undefined;
}
