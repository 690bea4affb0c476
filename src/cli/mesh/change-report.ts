/** The second half of every command that changes the mesh: show, ask, send, wait, and say what came of it. */

import type { WaitReply } from "../../control/protocol.ts";
import { placeIn } from "../../events/decision-plan.ts";
import { describe } from "../../events/describe.ts";
import type { MeshState } from "../../events/state.ts";
import { type NotEnforced, notEnforced } from "../../policy/enforcement.ts";
import { formatPath } from "../../policy/problems.ts";
import type { PolicyDocument } from "../../policy/schema.ts";
import type { AccessDifference } from "../../replay/access-diff.ts";
import type { WhatIf } from "../../replay/what-if.ts";
import { confirm } from "../input/confirm.ts";
import { accessText } from "../output/access-text.ts";
import { foldPlaces } from "../output/document-place.ts";
import { flipValue } from "../output/flips-text.ts";
import { note, painter, print, printText } from "../output/output.ts";
import { safeText } from "../output/safe-text.ts";
import type { ChangeOptions } from "./change-options.ts";
import type { OperatorContext } from "./context.ts";
import { awaitRevision, requireApplied } from "./convergence.ts";
import { liveText } from "./going-back.ts";
import { carryOut, differenceText, type NamespaceCommand, type Proposal, sendDirectly } from "./proposal.ts";

export interface Undertaking {
  readonly proposals: readonly Proposal[];
  /** What the proposals were made against, where it was read. */
  readonly before?: MeshState;
  /** Which calls it makes possible, and which it ends, where that was asked for. */
  readonly access?: readonly AccessDifference[];
  /** What becomes of calls that there were of late, where that was asked for. */
  readonly live?: WhatIf;
  /** Documents of which to say what this version does not enforce. */
  readonly documents?: readonly PolicyDocument[];
}

/** Shows what would change, asks, carries it out and says what came of it. */
export async function undertake(
  context: OperatorContext,
  undertaking: Undertaking,
  options: ChangeOptions,
): Promise<void> {
  present(undertaking, options);
  const changing = undertaking.proposals.filter(({ decided }) => decided.events.length > 0);
  if (options.dryRun === true || changing.length === 0) return conclude(context, undertaking, options);
  if (options.yes !== true) await confirm(`Change ${changing.map(({ command }) => command.namespace).join(", ")}?`);
  const landed = await carryOut(context, changing, options.reason);
  await conclude(context, { ...undertaking, proposals: landed }, options);
}

/** The same for a command that has acted already, or was only a dry run. */
async function reportDone(context: OperatorContext, undertaking: Undertaking, options: ChangeOptions): Promise<void> {
  present(undertaking, { ...options, yes: true });
  await conclude(context, undertaking, options);
}

/** Carries out one command that acts at once, and says what came of it. */
export async function changeAtOnce(
  context: OperatorContext,
  command: NamespaceCommand,
  options: ChangeOptions,
): Promise<void> {
  const done = await sendDirectly(context, command, { ...options, dryRun: options.dryRun === true });
  await reportDone(context, { proposals: [done] }, options);
}

/** The difference, which is what a person agrees to, and what is to be said about it. */
function present(
  { proposals, before, access, live, documents = [] }: Undertaking,
  { output, yes }: ChangeOptions,
): void {
  const forPeople = output === "table";
  // A program that said --yes finds all of it in the result.
  if (!forPeople && yes === true) return;
  const paint = painter(forPeople ? process.stdout : process.stderr);
  const effects = `${access === undefined ? "" : accessText(access, paint)}${live === undefined ? "" : liveText(live, paint)}`;
  const difference = `${differenceText(proposals, paint, before)}${effects}`;
  if (forPeople) printText(difference);
  else if (difference !== "") note(difference.trimEnd());
  for (const remark of remarks(proposals, notEnforced(documents))) note(remark);
}

/** Says what stands, and waits for it where that was asked for. Rejects with `Failure` where it does not come. */
async function conclude(context: OperatorContext, undertaking: Undertaking, options: ChangeOptions): Promise<void> {
  if (options.output === "table") printText(outcomeText(undertaking, options));
  const revision = options.wait === true && options.dryRun !== true ? await revisionOf(context, undertaking) : 0;
  const waited = revision > 0 ? await awaitRevision(context, revision, options.timeout) : undefined;
  if (options.output !== "table") print(options.output, outcomeValue(undertaking, options, waited), () => "");
  if (waited !== undefined) requireApplied(revision, waited);
}

/** What to wait for: what was changed, or where nothing was, all that came before. */
async function revisionOf({ ledger }: OperatorContext, { proposals }: Undertaking): Promise<number> {
  const revisions = proposals.flatMap(({ decided }) => decided.revision ?? []);
  return revisions.length > 0 ? Math.max(...revisions) : ledger.lastRevision();
}

function outcomeText({ proposals }: Undertaking, { dryRun }: ChangeOptions): string {
  const changing = proposals.filter(({ decided }) => decided.events.length > 0);
  if (changing.length === 0) return "nothing to change";
  if (dryRun === true) return "nothing was changed: this was a dry run";
  return changing.map(({ command, decided }) => `${command.namespace} is at revision ${decided.revision}`).join("\n");
}

/** Warnings, and what is accepted without effect: neither stops anything, and neither may go unsaid. */
function remarks(proposals: readonly Proposal[], gaps: readonly NotEnforced[]): string[] {
  const paint = painter(process.stderr);
  const warnings = proposals.flatMap(({ decided }) => decided.warnings);
  return [
    ...warnings.map((warning) => `${paint("yellow", "warning:")} ${safeText(warning)}`),
    ...gapLines(gaps).map((line) => `${paint("yellow", "note:")} ${line}`),
  ];
}

/** One line for each part of a document, though several of its fields have no effect. */
function gapLines(gaps: readonly NotEnforced[]): string[] {
  const byNote = Map.groupBy(gaps, ({ note: text }) => text);
  return [...byNote].flatMap(([text, own]) =>
    foldPlaces(own.map(({ key, path }) => placeIn(key, path))).map((place) => `${place}: ${text}`),
  );
}

function outcomeValue(
  { proposals, access, live, documents = [] }: Undertaking,
  { dryRun }: ChangeOptions,
  waited: WaitReply | undefined,
): unknown {
  return {
    dryRun: dryRun === true,
    changes: proposals
      .filter(({ decided }) => decided.events.length > 0)
      .map(({ command, decided }) => ({
        namespace: command.namespace,
        revision: decided.revision ?? null,
        basedOn: decided.basedOn,
        lines: decided.events.map(describe),
        events: decided.events,
      })),
    ...(access === undefined ? {} : { access }),
    ...(live === undefined ? {} : { live: { judged: live.judged, flips: live.flips.map(flipValue) } }),
    warnings: proposals.flatMap(({ decided }) => decided.warnings),
    notEnforced: notEnforced(documents).map(({ key, path, note: text }) => {
      return { document: key, path: formatPath(path), note: text };
    }),
    ...(waited === undefined ? {} : { wait: waited }),
  };
}
