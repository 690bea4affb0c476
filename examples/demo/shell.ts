/** Types command lines: what the demo shows as typed is, to the letter, what a shell was given. */

import { z } from "zod";
import type { Say } from "./step.ts";

/** What `heddle` prints for machines when a command changed the mesh and waited for it. */
const changeReport = z.object({
  changes: z.array(z.object({ namespace: z.string(), revision: z.int().nullable() })),
  wait: z.object({ applied: z.boolean(), convergenceMs: z.number().optional() }).optional(),
});

export interface Changed {
  /** The last revision that it made. */
  readonly revision: number;
  /** From the append to the last acknowledgement, as control measured it; undefined where it did not see both. */
  readonly convergenceMs: number | undefined;
}

export class Shell {
  readonly #env: Readonly<Record<string, string>>;
  readonly #directory: string;

  /** `directory`: where lines are run. */
  constructor(env: Readonly<Record<string, string>>, directory: string) {
    this.#env = env;
    this.#directory = directory;
  }

  /** Runs a line and resolves with its standard output. Rejects, with its standard error, where it fails. */
  async run(line: string): Promise<string> {
    const child = Bun.spawn(["sh", "-c", line], {
      cwd: this.#directory,
      env: this.#env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    const code = await child.exited;
    if (code === 0) return output;
    throw new Error(`\`${line}\` exited with ${code}: ${complaints.trim() || output.trim()}`);
  }

  /** Shows and runs a `heddle` line that changes the mesh, and waits until every instance enforces the change. */
  async change(line: string, say: Say): Promise<Changed> {
    const whole = `${line} --yes --wait -o json`;
    say(`$ ${whole}`);
    const output = await this.run(whole);
    const { changes, wait } = changeReport.parse(JSON.parse(output));
    const revision = Math.max(...changes.map((change) => change.revision ?? 0));
    if (!(revision > 0)) throw new Error(`\`${line}\` changed nothing: ${output}`);
    return { revision, convergenceMs: wait?.convergenceMs };
  }
}
