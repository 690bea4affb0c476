/** Starts the tests' application (`node-app.mjs`) under Node. */

import { join } from "node:path";

export interface NodeApp {
  readonly port: number;
  /** What arrived so far, as `<method> <url>`, and the URLs of requests whose client went away first. */
  seen(): Promise<{ seen: string[]; aborted: string[] }>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
}

/** `instance` is what its answers call it. */
export async function startNodeApp(instance = "app"): Promise<NodeApp> {
  const child = Bun.spawn(["node", join(import.meta.dir, "node-app.mjs"), instance], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  return {
    port,
    seen: async () =>
      (await (await fetch(`http://127.0.0.1:${port}/seen`)).json()) as { seen: string[]; aborted: string[] },
    kill: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
