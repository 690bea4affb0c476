/**
 * How the command line changes the mesh: each namespace's command is first decided as a dry run and shown, then sent
 * together with what was seen, so that what is carried out is what was agreed to or nothing.
 */

import { type CommandReply, signedCommand } from "../../control/protocol.ts";
import type { CommandBody, Refusal } from "../../events/commands.ts";
import { describe } from "../../events/describe.ts";
import type { DomainEvent } from "../../events/domain-events.ts";
import type { MeshState } from "../../events/state.ts";
import { Failure } from "../failure.ts";
import { Interruption } from "../input/interruption.ts";
import { formatRelative } from "../input/moment.ts";
import { markOf } from "../output/event-mark.ts";
import { note, type Paint } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import { sendCommand } from "./command-client.ts";
import type { OperatorContext } from "./context.ts";

/** What is asked of one namespace. */
export interface NamespaceCommand {
  readonly namespace: string;
  readonly body: CommandBody;
}

type Decided = Extract<CommandReply, { kind: "decided" }>;
type Conflict = Extract<CommandReply, { kind: "conflict" }>;

/** A command and what the control plane decided. */
export interface Proposal {
  readonly command: NamespaceCommand;
  readonly decided: Decided;
}

/** A problem of a refusal as a line for people; a command that knows where the cause stands says so. */
export type ExplainProblem = (problem: Refusal["problems"][number]) => string;

/** Characters of a command, which travels as one message. */
const COMMAND_LENGTH_MAX = signedCommand.shape.command.maxLength ?? Number.POSITIVE_INFINITY;
/** What a command has around its body: names, times, and a reason whose characters may all be escaped. */
const ENVELOPE_LENGTH_MAX = 8 * 1024;

/** Each is lost to somebody else who was first. */
const DECISIONS_MAX = 8;

const MARK_STYLES = { "+": "green", "~": "yellow", "-": "red" } as const;

/** A problem of a refusal as one line, safe for a terminal. */
export function explainPlainly({ path, message }: Refusal["problems"][number]): string {
  // A message may name the place by itself.
  return safeText(path === "" || message.includes(path) ? message : `${path}: ${message}`);
}

/** Decides every command without carrying it out. Says all that is refused, then rejects with `Failure`. */
export async function propose(
  context: OperatorContext,
  commands: readonly NamespaceCommand[],
  reason: string,
  explain: ExplainProblem = explainPlainly,
): Promise<Proposal[]> {
  const proposals: Proposal[] = [];
  const refusals: string[] = [];
  for (const command of commands) requireSize(command);
  for (const command of commands) {
    const reply = await sendCommand(context, { ...command, reason, dryRun: true });
    if (reply.kind === "decided") proposals.push({ command, decided: reply });
    else if (reply.kind === "refused") refusals.push(...reply.problems.map(explain));
    else throw new Failure(conflictText(command.namespace, reply, Date.now()));
  }
  if (refusals.length === 0) return proposals;
  for (const refusal of refusals) note(refusal);
  throw new Failure(`nothing was changed: ${refusals.length === 1 ? "1 problem" : `${refusals.length} problems`}`);
}

/** The control plane would refuse what is too large without being able to read what it was. */
function requireSize({ namespace, body }: NamespaceCommand): void {
  const { length } = JSON.stringify(body);
  if (length + ENVELOPE_LENGTH_MAX <= COMMAND_LENGTH_MAX) return;
  const parts = Math.ceil((length + ENVELOPE_LENGTH_MAX) / COMMAND_LENGTH_MAX) + 1;
  throw new Failure(
    `nothing was changed: what is asked of ${namespace} has ${length} characters, and one command may have ${COMMAND_LENGTH_MAX}: do it in about ${parts} steps`,
  );
}

/**
 * Carries proposals out, one namespace after the other, exactly as they were decided. Rejects with `Failure` at the
 * first that does not land, and where it is interrupted between two, saying which did.
 */
export async function carryOut(
  context: OperatorContext,
  proposals: readonly Proposal[],
  reason: string,
): Promise<Proposal[]> {
  const landed: Proposal[] = [];
  const restAfter = (count: number): string[] => proposals.slice(count).map(({ command }) => command.namespace);
  using interruption = new Interruption();
  for (const { command, decided } of proposals) {
    try {
      const seen = { revision: decided.basedOn, digest: decided.digest };
      const reply = await sendCommand(context, { ...command, reason, dryRun: false, seen });
      landed.push({ command, decided: requireDecided(command.namespace, reply) });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure([error.message, ...accountOf(landed, restAfter(landed.length + 1))].join("\n"), {
        cause: error,
      });
    }
    if (interruption.isAsked)
      throw new Failure(["interrupted", ...accountOf(landed, restAfter(landed.length))].join("\n"));
  }
  return landed;
}

/**
 * Sends one command that acts at once, whatever others do meanwhile. It is decided first and then signed together with
 * the decision, so that the ledger proves of every event that its author asked for it. Rejects with `Failure` for any
 * answer but a decision.
 */
export async function sendDirectly(
  context: OperatorContext,
  command: NamespaceCommand,
  { reason, dryRun }: { readonly reason: string; readonly dryRun: boolean },
): Promise<Proposal> {
  for (let attempt = 1; ; attempt++) {
    const first = requireDecided(command.namespace, await sendCommand(context, { ...command, reason, dryRun: true }));
    if (dryRun || first.events.length === 0) return { command, decided: first };
    const seen = { revision: first.basedOn, digest: first.digest };
    const reply = await sendCommand(context, { ...command, reason, dryRun: false, seen });
    // Nobody was shown the decision, so that another one will do as well.
    if (reply.kind === "conflict" && attempt < DECISIONS_MAX) continue;
    return { command, decided: requireDecided(command.namespace, reply) };
  }
}

function requireDecided(namespace: string, reply: CommandReply): Decided {
  switch (reply.kind) {
    case "decided":
      return reply;
    case "refused":
      throw new Failure(reply.problems.map(explainPlainly).join("\n"));
    case "conflict":
      throw new Failure(conflictText(namespace, reply, Date.now()));
  }
}

/** What stands in the ledger now and what does not, said when a later namespace failed. */
function accountOf(landed: readonly Proposal[], rest: readonly string[]): string[] {
  if (landed.length === 0 && rest.length === 0) return [];
  const done = landed.map(({ command, decided }) => `${command.namespace} at revision ${decided.revision ?? "?"}`);
  return [
    done.length === 0 ? "nothing was changed" : `changed before that, and in force: ${done.join(", ")}`,
    ...(rest.length === 0 ? [] : [`not sent: ${rest.join(", ")}`]),
  ];
}

/** Who was first, when, why, and what they did. */
export function conflictText(namespace: string, { changes }: Conflict, nowMs: number): string {
  const lines = changes.flatMap(({ revision, actor, time, reason, lines: sentences }) => [
    `  revision ${revision} by ${safeText(actor)}, ${formatRelative(Date.parse(time), nowMs)} (${safeText(time)})${because(reason)}`,
    ...sentences.map((sentence) => `    ${safeText(sentence)}`),
  ]);
  const meanwhile = changes.length === 0 ? "" : " meanwhile:";
  return [
    `conflict: ${namespace} was changed by somebody else${meanwhile}`,
    ...lines,
    `nothing of this command was applied to ${namespace}; run it again to see what it would do now`,
  ].join("\n");
}

function because(reason: string): string {
  return reason === "" ? "" : `: ${safeText(reason)}`;
}

/** The difference in words, one line per event, under its namespace; empty where nothing would change. */
export function differenceText(proposals: readonly Proposal[], paint: Paint, before?: MeshState): string {
  return proposals
    .filter(({ decided }) => decided.events.length > 0)
    .map(({ command, decided }) => {
      const head = paint("bold", command.namespace);
      return `${[head, ...decided.events.map((event) => eventLine(event, paint, before))].join("\n")}\n`;
    })
    .join("");
}

/** One event as a line of a difference: its mark and its sentence. */
export function eventLine(event: DomainEvent, paint: Paint, before?: MeshState): string {
  const mark = markOf(event, before);
  return `  ${paint(MARK_STYLES[mark], `${mark} ${describe(event)}`)}`;
}
