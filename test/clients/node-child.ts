/** A script of this folder in a Node process of its own: it tells its first line, and ends with its standard input. */

import { join } from "node:path";

export interface NodeChild {
  /** The first line that it printed. */
  readonly greeting: string;
  readonly pid: number;
  /** Sends a line of JSON and resolves with the line of JSON that answers it, both named by an `id`. */
  ask(question: object): Promise<unknown>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
}

interface Answer {
  readonly id: number;
  readonly value: unknown;
}

export async function startNode(script: string, ...args: readonly string[]): Promise<NodeChild> {
  const child = Bun.spawn(["node", join(import.meta.dir, script), ...args], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const greeting = Promise.withResolvers<string>();
  const waiting = new Map<number, (value: unknown) => void>();
  const read = async (): Promise<void> => {
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        greeting.resolve(line);
        if (!line.startsWith("{")) continue;
        const { id, value } = JSON.parse(line) as Answer;
        waiting.get(id)?.(value);
        waiting.delete(id);
      }
    }
    greeting.reject(new Error(`${script} ended before it said anything`));
  };
  void read();
  let asked = 0;
  return {
    greeting: await greeting.promise,
    pid: child.pid,
    ask(question) {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      waiting.set(++asked, resolve);
      child.stdin.write(`${JSON.stringify({ id: asked, ...question })}\n`);
      child.stdin.flush();
      return promise;
    },
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
