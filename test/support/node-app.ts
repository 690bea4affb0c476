/** Starts the tests' application (`node-app.mjs`) under Node. */

import { join } from "node:path";

export interface NodeApp {
  readonly port: number;
  /** What arrived so far, as `<method> <url>`, and the URLs of requests whose client went away first. */
  seen(): Promise<{ seen: string[]; aborted: string[] }>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Asks it to end, when it has answered what it was asked. */
  stop(): Promise<void>;
}

/** `instance` is what its answers call it; `port`: any, where it is 0. */
export async function startNodeApp(instance = "app", port = 0): Promise<NodeApp> {
  const child = Bun.spawn(["node", join(import.meta.dir, "node-app.mjs"), instance, String(port)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  const listening = Number(new TextDecoder().decode(value));
  return {
    port: listening,
    seen: async () =>
      (await (await fetch(`http://127.0.0.1:${listening}/seen`)).json()) as { seen: string[]; aborted: string[] },
    kill: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
