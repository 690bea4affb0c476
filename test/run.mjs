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
/** Files that may be run a second time. */
const MAX_FILES_AGAIN = 5;

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

/**
 * Runs the test files in a few processes side by side, and each file that failed once more, with the machine to itself:
 * what fails only beside others is named as flaky, loudly, and does not fail the run. More failures than a few are no
 * accident and get no second chance.
 */
async function runTests(natsServer) {
  const first = await runFiles(patterns, PARALLEL, natsServer);
  const again = first.failedFiles;
  if (again.length === 0 || again.length > MAX_FILES_AGAIN || first.brokenBetween) return count(first);
  note(`running again, alone: ${again.join(" ")}`);
  // `./` makes it this very file to Bun, and not every file whose path contains it.
  const second = await runFiles(
    again.map((file) => `./${file}`),
    1,
    natsServer,
  );
  const others = first.without(again);
  count({ ...second, passed: others.passed + second.passed, skipped: others.skipped + second.skipped });
  for (const file of again)
    if (!second.failedFiles.includes(file)) note(`FLAKY: ${file} failed beside others, passed alone`);
}

function count({ passed, failed, skipped }) {
  tally.passed += passed;
  tally.failed += failed;
  tally.skipped += skipped;
}

/** One run of Bun over the files that match, and what its report says of them. */
async function runFiles(matching, parallel, natsServer) {
  const folder = mkdtempSync(join(tmpdir(), "heddle-test-"));
  const report = join(folder, "report.xml");
  try {
    const options = [`--parallel=${parallel}`, "--reporter=junit", `--reporter-outfile=${report}`];
    const code = await bunTest([...options, ...matching], natsServer);
    return summary(readReport(report), testFiles(matching), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves with the exit code; 1 where a signal or the time limit ended it. */
function bunTest(options, natsServer) {
  return new Promise((resolve, reject) => {
    // No orphans: whatever a broken test leaves running ends with the run.
    const child = spawn(tool("bun"), ["test", `--timeout=${TEST_TIMEOUT_MS}`, "--no-orphans", ...options], {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, HEDDLE_NATS_SERVER: natsServer },
    });
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
 * What a JUnit report says. A file that is not in it did not load, and a run that failed although every test passed
 * broke somewhere between tests: each counts as one failure.
 */
function summary(report, files, code) {
  const suites = new Map();
  // Suites nest; the one of a file carries the file's name and the numbers of all within.
  for (const [, head] of report.matchAll(/<testsuite ([^>]*)>/g)) {
    const file = attribute(head, "file");
    if (attribute(head, "name") === file) suites.set(file, countsOf(head));
  }
  const silent = files.filter((file) => !suites.has(file));
  for (const file of silent) note(`${file} reported no test`);
  const total = (entries, key) => entries.reduce((sum, [, counts]) => sum + counts[key], 0);
  const failed = total([...suites], "failed") + silent.length;
  const brokenBetween = code !== 0 && failed === 0;
  return {
    passed: total([...suites], "passed"),
    failed: brokenBetween ? 1 : failed,
    skipped: total([...suites], "skipped"),
    brokenBetween,
    failedFiles: [...silent, ...[...suites].filter(([, { failed }]) => failed > 0).map(([file]) => file)],
    /** The same of the files but these. */
    without: (excluded) => {
      const others = [...suites].filter(([file]) => !excluded.includes(file));
      return { passed: total(others, "passed"), skipped: total(others, "skipped") };
    },
  };
}

function attribute(head, name) {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(head)?.[1];
}

function countsOf(head) {
  const number = (name) => Number(attribute(head, name) ?? 0);
  const failed = number("failures") + number("errors");
  const skipped = number("skipped");
  return { failed, skipped, passed: Math.max(0, number("tests") - failed - skipped) };
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

/** The test files that a run is meant to cover, as Bun names them in its report. */
function testFiles(matching) {
  const files = readdirSync(join(ROOT, "test"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".test.ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
  if (matching.length === 0) return files;
  return files.filter((file) => matching.some((pattern) => file.includes(pattern.replace(/^\.\//, ""))));
}
