/**
 * Makes present what the project's own tools need, and runs them. Plain JavaScript for Node, because it has to work
 * in a fresh clone on a machine that has neither Bun nor our dependencies yet.
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Path of a program that npm installed for the project. */
export function tool(name) {
  return join(ROOT, "node_modules", ".bin", name);
}

/** Installs the dependencies if one is missing or of another version than package.json names. Throws if that fails. */
export function ensureDependencies() {
  const { dependencies, devDependencies } = readJson(join(ROOT, "package.json"));
  const wanted = Object.entries({ ...dependencies, ...devDependencies });
  const present = wanted.every(([name, version]) => installedVersion(name) === version);
  if (!present) {
    note("installing the dependencies (npm ci)");
    // Development dependencies as well, even where NODE_ENV says production.
    const options = ["--include=dev", "--no-audit", "--no-fund"];
    try {
      run("npm", ["ci", ...options]);
    } catch {
      // A registry that lacks some other platform's package makes `ci` refuse; `install` is less strict.
      run("npm", ["install", "--no-save", ...options]);
    }
  }
  // Without install scripts, npm leaves a placeholder in the place of the Bun program.
  if (spawnSync(tool("bun"), ["--version"], { stdio: "ignore" }).status !== 0) {
    note("putting Bun in its place");
    run(process.execPath, [join(ROOT, "node_modules", "bun", "install.js")]);
  }
}

/**
 * The path of nats-server, found or installed by the same code as `heddle up` uses. Asked for once, before any test
 * runs, so that tests that run side by side do not install it side by side. Throws with what to do when there is none.
 */
export function ensureNatsServer() {
  const script =
    'import { findServerBinary } from "./src/nats/server-binary.ts";' +
    "try { console.log((await findServerBinary(process.env)).path); }" +
    "catch (error) { console.error(error.message); process.exit(1); }";
  const child = spawnSync(tool("bun"), ["--eval", script], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  if (child.status !== 0) throw new Error("the tests need nats-server");
  return String(child.stdout).trim();
}

/** The checks besides tests: what each is called, and the command. */
export const CHECKS = [
  { name: "typecheck", command: [tool("tsc"), "-p", "."] },
  { name: "lint and format", command: [tool("biome"), "check", "--error-on-warnings"] },
];

/** Runs a command and collects what it prints. */
export function collect([program, ...args]) {
  return new Promise((resolve) => {
    const startMs = performance.now();
    const child = spawn(program, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    const settle = (passed) => resolve({ passed, output, seconds: (performance.now() - startMs) / 1000 });
    child.on("error", (error) => {
      output += `${program}: ${error.message}\n`;
      settle(false);
    });
    child.on("close", (code) => settle(code === 0));
  });
}

/** Runs checks side by side and prints each as it ends, with its output where it failed. Returns those that failed. */
export async function runChecks(checks) {
  const results = await Promise.all(
    checks.map(async ({ name, command }) => {
      const { passed, output, seconds } = await collect(command);
      console.log(`${passed ? "ok  " : "FAIL"} ${name} (${seconds.toFixed(1)} s)`);
      if (!passed) console.log(output.trimEnd().replaceAll(/^/gm, "     "));
      return { name, passed };
    }),
  );
  return results.filter(({ passed }) => !passed);
}

/** Test files to run at once: the tests are small and mostly wait, but time limits in them assume some CPU. */
export const PARALLEL = Math.max(2, Math.min(4, availableParallelism()));

export function note(text) {
  console.error(`heddle: ${text}`);
}

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

function installedVersion(name) {
  const path = join(ROOT, "node_modules", name, "package.json");
  return existsSync(path) ? readJson(path).version : undefined;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}
