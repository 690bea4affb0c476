/** `heddle explain`: the whole decision about a call, each part with the change that put it there. */

import type { Command } from "commander";
import { parseDocumentKey } from "../../policy/document-key.ts";
import type { DocumentKey } from "../../policy/names.ts";
import { formatPath } from "../../policy/problems.ts";
import { type Authorship, blameDocuments, type DocumentBlame } from "../../replay/blame.ts";
import type { Judgement } from "../../replay/call.ts";
import { explain } from "../../replay/explain.ts";
import type { Fact } from "../../replay/fact.ts";
import { formatRelative } from "../input/moment.ts";
import { type CallOptions, callArguments, callText } from "../mesh/call-options.ts";
import type { OperatorContext } from "../mesh/context.ts";
import { documentHistory } from "../mesh/indexed-ledger.ts";
import { withJudgedCall } from "../mesh/judged-call.ts";
import { MOMENT_HELP } from "../mesh/moment-argument.ts";
import { type Paint, painter, print, table } from "../output/output.ts";
import { safeLine, safeText } from "../output/safe-text.ts";

/** Characters of a fact and of a reason in a line; `-o json` has them whole. */
const TEXT_LENGTH_MAX = 100;
const REASON_LENGTH_MAX = 50;

const HELP = `
Decided by the very code by which sidecars decide, over the policy that they have. METHOD and PATH are left out for a TCP
connection. Whoever calls by a SPIFFE ID of another trust domain, or as \`none\`, without an identity, has no sidecar of this
mesh, so that routes do not concern it. ${MOMENT_HELP}

Examples:
  heddle explain shop/web shop/catalog GET /items
  heddle explain web catalog GET /items -n shop -H 'x-sticky-user: beta' --at 2d
  heddle explain none shop/catalog GET /items --ip 192.0.2.7
  heddle explain spiffe://partner.example/ns/crm/sa/sync shop/catalog POST /items --claim groups=admin
`;

/** A fact, and who made it so. */
interface ExplainedFact extends Fact {
  readonly by: Authorship | undefined;
}

export async function run(command: Command, args: readonly string[]): Promise<void> {
  await callArguments(command)
    .description("Explain what becomes of a call: route, backends, retries, limits and access, and who decided each.")
    .addHelpText("after", HELP)
    .action((source, destination, method, path, options: CallOptions) =>
      withJudgedCall([source, destination, method, path], options, async (context, { call, state, judgement }) => {
        const facts = await attributed(context, explain(state, call, judgement), state.revision);
        const head = `${callText(call)}, as of revision ${state.revision}`;
        print(options.output, explainValue(callText(call), state.revision, judgement, facts), () =>
          explainText(head, facts, judgement, painter(process.stdout)),
        );
      }),
    )
    .parseAsync(args, { from: "user" });
}

/** Reads the history of the documents that the facts name. */
async function attributed(context: OperatorContext, facts: readonly Fact[], to: number): Promise<ExplainedFact[]> {
  const keys = new Set(facts.flatMap(({ place }) => place?.key ?? []));
  const blame = new Map<DocumentKey, DocumentBlame>();
  for (const [namespace, own] of Map.groupBy(keys, (key) => parseDocumentKey(key)?.namespace ?? "")) {
    const changes = documentHistory(context, { to, namespace }, own);
    for (const [key, found] of await blameDocuments(changes, own)) blame.set(key, found);
  }
  return facts.map((fact) => ({ ...fact, by: fact.place && blame.get(fact.place.key)?.at(fact.place.path) }));
}

function explainText(head: string, facts: readonly ExplainedFact[], { allowed }: Judgement, paint: Paint): string {
  const nowMs = Date.now();
  const rows = facts.map(({ about, text, by }) => [
    about === "result" ? paint("bold", about) : about,
    about === "result" ? paint(allowed ? "green" : "red", safeText(text)) : safeLine(text, TEXT_LENGTH_MAX),
    ...(by === undefined
      ? []
      : [
          String(by.revision),
          safeText(by.actor),
          formatRelative(Date.parse(by.time), nowMs),
          by.reason === "" ? "" : `"${safeLine(by.reason, REASON_LENGTH_MAX)}"`,
        ]),
  ]);
  return `${paint("bold", safeText(head))}\n\n${table(["", "what", "revision", "by", "when", "why"], rows)}`;
}

function explainValue(
  call: string,
  revision: number,
  { allowed, obstacle, target, outcomes }: Judgement,
  facts: readonly ExplainedFact[],
): unknown {
  return {
    call,
    revision,
    allowed,
    obstacle: obstacle ?? null,
    path: target,
    outcomes: outcomes.map(({ share, service, subset, obstacle: inTheWay, access }) => ({
      share,
      service,
      subset: subset ?? null,
      obstacle: inTheWay ?? null,
      rule: access?.origin ?? null,
    })),
    facts: facts.map(({ about, text, place, by }) => ({
      about,
      text,
      document: place?.key ?? null,
      path: place === undefined ? null : formatPath(["spec", ...place.path]),
      by: by ?? null,
    })),
  };
}
