/** What commands of the command line cost, process and all. */

const HEDDLE = new URL("../bin/heddle", import.meta.url).pathname;

export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Of work in this process. */
export async function cost(run: () => Promise<unknown>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: performance.now() - start, cpuMs: (user + system) / 1e3 };
}

/** Of a command with its output thrown away. Rejects with what it said where it fails. */
export async function commandCost(args: readonly string[]): Promise<Cost> {
  const start = performance.now();
  const child = Bun.spawn([HEDDLE, ...args], { stdout: "ignore", stderr: "pipe" });
  const [said, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new Error(said);
  const cpuMs = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e3;
  return { wallMs: performance.now() - start, cpuMs };
}

/** The median, and the slowest, of which one in twenty is left out. */
export function say(what: string, costs: readonly Cost[]): void {
  const at = (values: number[], share: number): string =>
    (values.sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0).toFixed(0);
  const wall = costs.map(({ wallMs }) => wallMs);
  const cpu = costs.map(({ cpuMs }) => cpuMs);
  console.log(what.padEnd(44), `${at(wall, 0.5)} ms, p95 ${at(wall, 0.95)} ms; CPU time ${at(cpu, 0.5)} ms`);
}

/** The same command several times over. */
export async function measureCommand(args: readonly string[], rounds: number, connection: readonly string[]) {
  const costs: Cost[] = [];
  for (let round = 0; round < rounds; round++) costs.push(await commandCost([...args, ...connection]));
  say(`  heddle ${args.join(" ")}`, costs);
}
