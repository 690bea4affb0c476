/** One sidecar of a name at a time: two would overwrite each other's state and contend for the name in the mesh. */

import { join } from "node:path";
import { makePrivateDirectory } from "../../nats/private-file.ts";
import { LockHeld, takeLock } from "../../nats/process-lock.ts";
import { Failure } from "../failure.ts";

/**
 * Takes a sidecar's state directory for this process; the promise is of what gives it back. Rejects with `Failure`
 * while another sidecar has it. A directory that cannot be written to is nobody's: there is nothing to write over in
 * it.
 */
export async function lockInstance(directory: string, instance: string): Promise<() => Promise<void>> {
  try {
    await makePrivateDirectory(directory);
    const lock = await takeLock(join(directory, "lock"));
    return () => lock.release();
  } catch (error) {
    if (!(error instanceof LockHeld)) return async () => {};
    throw new Failure(
      `process ${error.pid} is the sidecar ${instance} already: stop that one first, or give this one a name of its own with --instance`,
      { cause: error },
    );
  }
}
