/**
 * `npm test`: every test in test/, after making present what they need. With `--checks` also the checks of
 * `npm run check`, counted as one test each. The last line is always `N passed, N failed`, `, N skipped` added where
 * some were; the exit code is 0 only if none failed. Arguments without dashes narrow it down to matching files.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { CHECKS, ensureDependencies, ensureNatsServer, note, PARALLEL, ROOT, runChecks, tool } from "./toolchain.mjs";

/** No run may take longer; what has not reported by then has failed. */
const TIMEOUT_MS = 18 * 60_000;
/** Generous, since machines are shared; a test that hangs is found all the same. Bun takes it from here alone. */
const TEST_TIMEOUT_MS = 60_000;

const args = process.argv.slice(2);
const patterns = args.filter((argument) => !argument.startsWith("-"));
const tally = { passed: 0, failed: 0, skipped: 0 };

try {
  ensureDependencies();
  if (args.includes("--checks")) {
    const failed = await runChecks(CHECKS);
    tally.failed += failed.length;
    tally.passed += CHECKS.length - failed.length;
  }
  await runTests(ensureNatsServer());
} catch (error) {
  console.error(error.message);
  tally.failed += 1;
}
const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : "";
process.exitCode = tally.failed > 0 ? 1 : 0;
console.log(`${tally.passed} passed, ${tally.failed} failed${skipped}`);

/** Runs the test files in a few processes and adds up what they report. */
async function runTests(natsServer) {
  const folder = mkdtempSync(join(tmpdir(), "heddle-test-"));
  const report = join(folder, "report.xml");
  try {
    const code = await bunTest(["--reporter=junit", `--reporter-outfile=${report}`, ...patterns], natsServer);
    addReport(readReport(report), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves with the exit code; 1 where a signal or the time limit ended it. */
function bunTest(options, natsServer) {
  return new Promise((resolve, reject) => {
    // No orphans: whatever a broken test leaves running ends with the run.
    const child = spawn(
      tool("bun"),
      ["test", `--parallel=${PARALLEL}`, `--timeout=${TEST_TIMEOUT_MS}`, "--no-orphans", ...options],
      {
        cwd: ROOT,
        stdio: ["ignore", "inherit", "inherit"],
        env: { ...process.env, HEDDLE_NATS_SERVER: natsServer },
      },
    );
    const timer = setTimeout(() => {
      note(`the tests took longer than ${TIMEOUT_MS / 60_000} minutes and were ended`);
      child.kill("SIGKILL");
    }, TIMEOUT_MS);
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => child.kill(signal));
    child.on("error", reject);
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve(code ?? 1);
    });
  });
}

/**
 * Adds up a JUnit report. A file that is not in it did not load, and a run that failed although every test passed
 * broke somewhere between tests: each counts as one failure.
 */
function addReport(report, code) {
  const [, head = ""] = /<testsuites ([^>]*)>/.exec(report) ?? [];
  const count = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const counted = { failed: count("failures") + count("errors"), skipped: count("skipped") };
  const reported = new Set([...report.matchAll(/<testsuite [^>]*\bfile="([^"]*)"/g)].map(([, file]) => file));
  const silent = testFiles().filter((file) => !reported.has(file));
  for (const file of silent) note(`${file} reported no test`);
  const failed = counted.failed + silent.length;
  tally.passed += Math.max(0, count("tests") - counted.failed - counted.skipped);
  tally.skipped += counted.skipped;
  tally.failed += code !== 0 && failed === 0 ? 1 : failed;
}

/** The report, or nothing where the run ended before it was written. */
function readReport(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    note("the test run ended without a report");
    return "";
  }
}

/** The test files that this run is meant to cover, as Bun names them in its report. */
function testFiles() {
  const files = readdirSync(join(ROOT, "test"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
  if (patterns.length === 0) return files;
  return files.filter((file) => patterns.some((pattern) => file.includes(pattern.replace(/^\.\//, ""))));
}
