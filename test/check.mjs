/** `npm run check`: what takes seconds and needs no server. Types, lint, format, and the tidy tests. */

import { CHECKS, ensureDependencies, runChecks, tool } from "./toolchain.mjs";

ensureDependencies();
const failed = await runChecks([
  ...CHECKS,
  { name: "tidy", command: [tool("bun"), "test", "--only-failures", "test/tidy"] },
]);
if (failed.length > 0) {
  console.log(`\n${failed.map(({ name }) => name).join(", ")} failed`);
  process.exitCode = 1;
}
