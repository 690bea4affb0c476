/** Checkpoints, indexes and roll-ups, as an operator may read them. */

import { type BucketReader, directReader } from "../../nats/buckets.ts";
import { largeValues } from "../../nats/large-values.ts";
import { CHECKPOINT_BUCKET } from "../../nats/subjects.ts";
import type { OperatorContext } from "./context.ts";

/** Makes no request of its own. */
export function checkpointReader({ bus }: Pick<OperatorContext, "bus">): BucketReader {
  return largeValues(directReader(bus, CHECKPOINT_BUCKET));
}
