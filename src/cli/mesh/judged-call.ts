/** What becomes of the call that a command line describes, in the mesh as it is or was. */

import type { MeshState } from "../../events/state.ts";
import { type Call, CallJudge, type Judgement } from "../../replay/call.ts";
import { isOutsider } from "../../replay/source.ts";
import { note } from "../output/output.ts";
import { type CallArguments, type CallOptions, callOf } from "./call-options.ts";
import { type OperatorContext, withOperator } from "./context.ts";
import { pastState, serviceMeant } from "./known-mesh.ts";
import { revisionOf } from "./moment-argument.ts";

/** A call, its judgement, and the state that it was judged on. */
export interface JudgedCall {
  readonly call: Call;
  /** As of the moment that was asked for. */
  readonly state: MeshState;
  readonly judgement: Judgement;
}

/** Judges the call, and hands it on while there is a connection. Throws `UsageError`. */
export async function withJudgedCall(
  described: CallArguments,
  options: CallOptions,
  show: (context: OperatorContext, judged: JudgedCall) => Promise<void> | void,
): Promise<void> {
  const call = callOf(described, options);
  await withOperator(options, async (context) => {
    const state = await pastState(context, await revisionOf(context.ledger, options.at));
    const judgement = new CallJudge(state).judge(call);
    await show(context, { call, state, judgement });
    const meant = meantInstead(state, call, judgement);
    if (meant !== undefined) note(`did you mean ${meant}?`);
  });
}

/** For a call of which one end is no service: the service that was probably meant. */
function meantInstead(state: MeshState, { source, destination }: Call, { obstacle }: Judgement): string | undefined {
  if (obstacle === "undeclared_destination") return serviceMeant(state, destination);
  if (obstacle === "undeclared_source" && !isOutsider(source)) return serviceMeant(state, source);
  return undefined;
}
