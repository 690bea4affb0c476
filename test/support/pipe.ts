/** A pipe where a file should be: whoever opens it waits for a writer. */

import { rm } from "node:fs/promises";

/** Puts a pipe that nobody writes to in the place of whatever is there. */
export async function putPipe(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  const { exitCode, stderr } = Bun.spawnSync(["mkfifo", path]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}
