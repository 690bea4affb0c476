/** `npm run demo`: plays the story from beginning to end on this machine, and cleans up. story.ts lists its steps. */

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { painter } from "../../src/cli/output/output.ts";
import { findServerBinary } from "../../src/nats/server-binary.ts";
import { Report } from "./report.ts";
import { ROOT, Shop } from "./shop.ts";
import { STORY } from "./story.ts";

const USAGE = `Plays the life of a small shop on a mesh of its own, in about a minute.

  npm run demo              play it, clean up; the exit code tells whether every step held
  npm run demo -- --keep    leave it running afterwards, until Ctrl-C
`;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((argument) => argument !== "--keep");
  if (unknown !== undefined) return usage(unknown);
  const signal = firstSignal();
  const nats = await findServerBinary(process.env);
  const directory = await mkdtemp(join(tmpdir(), "heddle-demo-"));
  const shop = await Shop.plan(directory, nats.path);
  const report = new Report(STORY.length, (text) => process.stdout.write(text), painter(process.stdout));

  const outcome = await Promise.race([play(shop, report), signal]);
  if (outcome !== "interrupted") report.line(report.table());
  if (outcome === "passed" && args.includes("--keep")) {
    report.line(invitation(shop));
    await signal;
  }
  report.silence();
  await shop.stop();
  if (outcome === "failed") process.stdout.write(whereLogsAre(shop));
  else await shop.remove();
  return EXIT_CODES[outcome];
}

type Outcome = "passed" | "failed" | "interrupted";

/** 130 is what shells give to a command that Ctrl-C ended. */
const EXIT_CODES: Readonly<Record<Outcome, number>> = { passed: 0, failed: 1, interrupted: 130 };

/** Plays step after step, up to the first that does not hold. */
async function play(shop: Shop, report: Report): Promise<Outcome> {
  for (const step of STORY) {
    report.begin(step.title);
    const startMs = performance.now();
    try {
      const summary = await step.run(shop, (line) => report.say(line));
      await shop.processes.requireAllRunning();
      report.end(step.title, true, performance.now() - startMs, summary);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      report.end(step.title, false, performance.now() - startMs, reason);
      return "failed";
    }
  }
  return "passed";
}

/**
 * Resolves at the first signal that asks the demo to end. More of them change nothing: cleaning up takes seconds, and
 * npm passes on a Ctrl-C that the terminal has sent already.
 */
function firstSignal(): Promise<Outcome> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve("interrupted"));
  });
}

function usage(argument: string): number {
  const asked = argument === "--help" || argument === "-h";
  if (asked) process.stdout.write(USAGE);
  else process.stderr.write(`heddle: unknown argument ${argument}\n\n${USAGE}`);
  return asked ? 0 : 2;
}

/** What to try while the shop stays open. */
function invitation(shop: Shop): string {
  const { service, outbound, admin } = shop.instance("web").ports;
  const lines = [
    "The shop stays open until Ctrl-C. In another terminal:",
    "",
    `  export HEDDLE_DIR=${shop.meshDirectory} PATH=${join(ROOT, "bin")}:$PATH`,
    "",
    "  heddle status                       # every instance, and what it enforces",
    "  heddle log --follow                 # the ledger, as it grows",
    "  heddle get ap -n shop -o yaml       # who may call whom",
    "  heddle rollback 2 --dry-run         # what it would take to go back to the beginning",
    '  heddle deny shop/web shop/catalog --reason "try it"',
    "",
    `  curl http://127.0.0.1:${service}/                               # the front page`,
    `  curl -iH 'Host: payment' http://127.0.0.1:${outbound}/charges    # a call of web's own that is denied, and why`,
    `  curl http://127.0.0.1:${admin}/config_dump                    # what web's sidecar enforces; /certs, /metrics`,
    `  tail -f ${join(shop.directory, "logs", "web.access.log")}`,
  ];
  return `${lines.join("\n")}\n`;
}

function whereLogsAre(shop: Shop): string {
  const logs = [
    ...shop.processes.logs(),
    join(shop.meshDirectory, "control.log"),
    join(shop.meshDirectory, "nats", "server.log"),
  ];
  return `A step did not hold. What the processes had to say:\n${logs.map((log) => `  ${log}\n`).join("")}`;
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`heddle: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
