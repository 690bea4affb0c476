/** Where log lines go: a file or the standard output, written off the event loop. */

import { close, open, write } from "node:fs";
import { promisify } from "node:util";

/** One write at a time; the next begins when the promise is settled. */
export interface LogSink {
  /** `text` is latin1. Settles when all of it is written; rejects when the rest cannot be (disk full, reader gone). */
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/** A reader of our standard output may have made the pipe non-blocking: how long to wait before another try. */
const RETRY_MS = 20;

const openFile = promisify(open);
const closeFile = promisify(close);

/** What a pipe takes as a whole or not at all, POSIX's least `PIPE_BUF` on Linux: several may write to one pipe. */
const PIPE_BYTES = 4096;

/** Appends to a file, made with mode 0640 if it is not there. Rejects when it cannot be opened. */
export async function fileSink(path: string): Promise<LogSink> {
  const descriptor = await openFile(path, "a", 0o640);
  return { ...descriptorSink(descriptor), close: () => closeFile(descriptor) };
}

/**
 * An open descriptor, such as 1, the standard output; not closed at the end. Written from the thread pool:
 * `Bun.write(Bun.stdout)` stops the event loop while a pipe is full, and with it all traffic.
 */
export function descriptorSink(descriptor: number): LogSink {
  return { write: (text) => writeAll(descriptor, text), close: async () => {} };
}

/**
 * The same for a descriptor that other processes write to as well: lines go out whole, in pieces that a pipe does not
 * part. A line beyond 4,096 bytes may still be parted by theirs.
 */
export function sharedDescriptorSink(descriptor: number): LogSink {
  const write = async (text: string): Promise<void> => {
    for (let from = 0; from < text.length; ) {
      const lineEnd = text.lastIndexOf("\n", from + PIPE_BYTES - 1) + 1;
      const to = lineEnd > from ? lineEnd : text.indexOf("\n", from) + 1 || text.length;
      await writeAll(descriptor, text.slice(from, to));
      from = to;
    }
  };
  return { write, close: async () => {} };
}

async function writeAll(descriptor: number, text: string): Promise<void> {
  let rest: Uint8Array = Buffer.from(text, "latin1");
  while (rest.byteLength > 0) {
    const written = await writeSome(descriptor, rest);
    if (written > 0) rest = rest.subarray(written);
    else await Bun.sleep(RETRY_MS);
  }
}

/** Bytes written; 0 when the descriptor takes nothing just now. */
function writeSome(descriptor: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === "EAGAIN") resolve(0);
      else reject(error);
    });
  });
}
