/** Passes a body on to whoever listens, step by step. */

import type { StreamFault, StreamListener } from "../message.ts";
import { type BodyReader, BodyStep } from "./body-reader.ts";
import { FAULTS } from "./fault.ts";
import type { InputBuffer } from "./input-buffer.ts";

/** Whose body it is. */
export interface BodyOwner {
  /** All of it has been read: told before the listener is, so that state is settled when that one acts. */
  bodyEnded(): void;
  bodyFailed(fault: StreamFault): void;
}

const NO_DATA = new Uint8Array(0);

/**
 * Takes one step; false when there is none to take.
 * @param ends the body's end is the message's: false where a tunnel may follow
 */
export function deliverBody<H>(
  body: BodyReader,
  input: InputBuffer,
  owner: BodyOwner,
  listener: StreamListener<H> | undefined,
  ends: boolean,
): boolean {
  return deliverStep(body.step(input), body, owner, listener, ends);
}

/** Passes on what a step brought that was taken already; false when it brought nothing. */
export function deliverStep<H>(
  step: BodyStep,
  body: BodyReader,
  owner: BodyOwner,
  listener: StreamListener<H> | undefined,
  ends: boolean,
): boolean {
  switch (step) {
    case BodyStep.needMore:
      return false;
    case BodyStep.data:
      listener?.onData(body.data, false);
      return true;
    case BodyStep.lastData:
      owner.bodyEnded();
      listener?.onData(body.data, ends);
      return true;
    case BodyStep.end:
      owner.bodyEnded();
      if (ends) listener?.onData(NO_DATA, true);
      return true;
    case BodyStep.trailers:
      owner.bodyEnded();
      if (ends) listener?.onTrailers(body.trailers);
      return true;
    case BodyStep.fault:
      owner.bodyFailed(body.fault ?? FAULTS.chunkSize);
      return false;
  }
}
