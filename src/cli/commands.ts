/**
 * Which commands there are. Each is a file of its own, loaded when it is named and not before, so that `heddle version`
 * does not wait for NATS.
 *
 * A command's file exports `run`. It gets a commander `Command` with nothing but its name, declares on it what it
 * takes, and lets it parse the arguments. It fails by throwing; it returns when it is done.
 */

import { Command } from "commander";
import { safeLines } from "./output/safe-text.ts";

export type Run = (command: Command, args: readonly string[]) => Promise<void>;

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Not for people: help does not show it. */
  readonly hidden?: boolean;
  /** It only shows, and may do so for long: it ends when nobody reads any more. Others see their work through. */
  readonly endsUnread?: boolean;
  readonly load: () => Promise<{ readonly run: Run }>;
}

/** In the order that help shows. `allow` and `deny` share a file, and tell themselves apart by their name. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "up",
    summary: "start a mesh on this machine: NATS and a control replica",
    load: () => import("./commands/up.ts"),
  },
  { name: "control", summary: "run a control replica", load: () => import("./commands/control.ts") },
  {
    name: "sidecar",
    summary: "run the proxy beside one instance of a service",
    load: () => import("./commands/sidecar.ts"),
  },
  {
    name: "sidecar-worker",
    summary: "one of the processes of a sidecar",
    hidden: true,
    load: () => import("./commands/sidecar-worker.ts"),
  },
  {
    name: "intercept",
    summary: "send the connections of this machine through its sidecar",
    load: () => import("./commands/intercept.ts"),
  },
  { name: "ca", summary: "show and change the roots that the mesh trusts", load: () => import("./commands/ca.ts") },
  {
    name: "identity",
    summary: "show and revoke the identities of services",
    load: () => import("./commands/identity.ts"),
  },
  { name: "context", summary: "go to meshes by name", load: () => import("./commands/context-command.ts") },
  { name: "operator", summary: "say who may change the mesh", load: () => import("./commands/operator.ts") },
  {
    name: "token",
    summary: "make the credentials that a service's sidecars need",
    load: () => import("./commands/token.ts"),
  },
  { name: "apply", summary: "bring the mesh to what policy files say", load: () => import("./commands/apply.ts") },
  { name: "get", summary: "show policy as it is, or as it was", load: () => import("./commands/get.ts") },
  { name: "delete", summary: "remove policy documents", load: () => import("./commands/delete.ts") },
  { name: "allow", summary: "let a service call another", load: () => import("./commands/access.ts") },
  { name: "deny", summary: "forbid calls to a service", load: () => import("./commands/access.ts") },
  {
    name: "shift",
    summary: "move traffic between the subsets of a service",
    load: () => import("./commands/shift.ts"),
  },
  {
    name: "fault",
    summary: "make calls of a service fail on purpose, for a while",
    load: () => import("./commands/fault.ts"),
  },
  {
    name: "log",
    summary: "show who changed what, when and why",
    endsUnread: true,
    load: () => import("./commands/log.ts"),
  },
  { name: "show", summary: "show one change in full", load: () => import("./commands/show.ts") },
  { name: "diff", summary: "show what differs between two moments", load: () => import("./commands/diff.ts") },
  {
    name: "at",
    summary: "run a command that reads, as of a moment of the past",
    load: () => import("./commands/at.ts"),
  },
  { name: "blame", summary: "show who put each field of a document there", load: () => import("./commands/blame.ts") },
  {
    name: "explain",
    summary: "explain what becomes of a call, and who decided it",
    load: () => import("./commands/explain.ts"),
  },
  { name: "can", summary: "say whether a call would be let through", load: () => import("./commands/can.ts") },
  { name: "who-can", summary: "show which services may call one", load: () => import("./commands/who-can.ts") },
  {
    name: "bisect",
    summary: "find the change that broke something, by trying",
    load: () => import("./commands/bisect.ts"),
  },
  {
    name: "impact",
    summary: "show what traffic did before and after a change",
    load: () => import("./commands/impact.ts"),
  },
  {
    name: "top",
    summary: "show rate, errors and latency of services",
    endsUnread: true,
    load: () => import("./commands/top.ts"),
  },
  {
    name: "what-if",
    summary: "show which recorded calls policy files would deny or allow",
    load: () => import("./commands/what-if.ts"),
  },
  { name: "suggest", summary: "write policy that covers what was seen", load: () => import("./commands/suggest.ts") },
  {
    name: "rollback",
    summary: "bring policy back to an earlier revision",
    load: () => import("./commands/rollback.ts"),
  },
  { name: "revert", summary: "undo one change, and keep those after it", load: () => import("./commands/revert.ts") },
  {
    name: "access",
    summary: "show which calls became possible, and which stopped",
    load: () => import("./commands/access-diff.ts"),
  },
  {
    name: "check",
    summary: "check that the mesh is well, and set up as it should be",
    load: () => import("./commands/check.ts"),
  },
  { name: "verify", summary: "prove that the ledger is what was written", load: () => import("./commands/verify.ts") },
  {
    name: "export",
    summary: "write the ledger out, one CloudEvent a line",
    endsUnread: true,
    load: () => import("./commands/export.ts"),
  },
  { name: "sink", summary: "send every change to a webhook", load: () => import("./commands/sink.ts") },
  {
    name: "import",
    summary: "make a ledger out of an export, in an empty mesh",
    load: () => import("./commands/import.ts"),
  },
  {
    name: "audit",
    summary: "report who had access to what, and how that changed",
    load: () => import("./commands/audit.ts"),
  },
  { name: "status", summary: "show every instance and what it enforces", load: () => import("./commands/status.ts") },
  { name: "wait", summary: "wait until a revision is enforced everywhere", load: () => import("./commands/wait.ts") },
  {
    name: "completion",
    summary: "print what makes a shell complete this command line",
    load: () => import("./commands/completion.ts"),
  },
  { name: "version", summary: "show the version", load: () => import("./commands/version.ts") },
];

/** What was typed comes back in the complaint about it, and that has to stay in sight. */
const LONG_WORD = /(\S{200})[^\s']+/g;

/** A command that throws rather than ends the process, and whose complaints look like ours. */
export function newCommand(name: string): Command {
  return new Command(name).exitOverride().configureOutput({
    outputError: (text, write) => {
      const ours = text.replace(/^error: (?:command-argument value )?/, "heddle: ");
      write(safeLines(ours.replaceAll(LONG_WORD, "$1…")));
    },
  });
}

/** Runs one command with its own arguments. */
export async function runEntry({ name, load }: CommandEntry, args: readonly string[]): Promise<void> {
  const { run } = await load();
  await run(newCommand(`heddle ${name}`), args);
}
