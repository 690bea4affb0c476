/** Files that hold secrets or state: readable by their owner only, and replaced whole or not at all. */

import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** Makes a directory, and its parents, that only its owner may enter. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
}

/**
 * Writes a file of mode 0600 atomically and durably: a reader, or a machine that loses power, sees the old content
 * or the new one.
 */
export async function writePrivateFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${crypto.randomUUID()}.tmp`);
  try {
    const file = await open(temporary, "wx", FILE_MODE);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Whether an error says that there is nothing of that name, be it that what stands for its folder is a file. */
export function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The whole file, or undefined where there is none. One read: a file that is replaced meanwhile is never cut short. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/**
 * As `readIfPresent`, of a regular file alone: for what this program keeps for itself. To open a pipe that stands in its
 * place would be to wait for a writer, for ever and without a word.
 */
export async function readKeptIfPresent(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw new Error("it is no regular file");
    return await file.readFile("utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
