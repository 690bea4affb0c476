/** `npm run fuzz -- [SECONDS]`: the fuzz tests, each for so long (60 where nothing is said), side by side. */

import { spawnSync } from "node:child_process";
import { ensureDependencies, PARALLEL, ROOT, tool } from "./toolchain.mjs";

const seconds = Number(process.argv[2] ?? 60);
if (!(seconds > 0)) {
  console.error("usage: npm run fuzz -- [SECONDS]");
  process.exit(2);
}
ensureDependencies();
const options = [`--parallel=${PARALLEL}`, `--timeout=${seconds * 1000 + 60_000}`, "--no-orphans"];
const { status } = spawnSync(tool("bun"), ["test", ...options, "fuzz.test.ts"], {
  cwd: ROOT,
  stdio: "inherit",
  env: { ...process.env, HEDDLE_FUZZ_SECONDS: String(seconds) },
});
process.exit(status ?? 1);
